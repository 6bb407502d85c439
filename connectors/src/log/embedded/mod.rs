//! One journal on the local disk for all topics.
