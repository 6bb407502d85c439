//! What it takes to find texts again, and to say briefly what they said:
//! cutting into chunks, terms and their weights, hashed n-grams as vectors, the
//! fusion of two rankings, and a summary by extraction.
//!
//! All of it is linear in the text, never fails, and gives the same for the
//! same text wherever it runs.

pub mod chunk;
pub mod fuse;
pub mod ngrams;
pub mod summary;
pub mod terms;
