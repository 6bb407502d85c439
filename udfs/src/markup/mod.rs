//! Formatted text: what one provider's people wrote comes in, what another's
//! can read goes out.

mod code;

pub use code::code_ranges;
