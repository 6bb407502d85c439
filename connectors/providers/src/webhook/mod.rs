//! A webhook as the providers' folders see it: the request, who may send, and
//! what they make of it.

pub mod document;
pub mod request;
pub mod senders;

pub use request::{Admitted, Media, Refused, WebhookReply, WebhookRequest};
pub use senders::{Keys, SenderLink, Senders};
