//! What a JSON parser does not check: depth, and what UTF-8 cannot hold.
