//! What providers can do, a trait each. A provider implements those that it has
//! (`Provider::write` and so on); the roles ask for them, and have what is the
//! same for all.

pub mod backfill;
pub mod hooks;
pub mod identity;
pub mod lookup;
pub mod oauth;
pub mod pickers;
pub mod samples;
pub mod status;
pub mod verify;
pub mod write;

pub use backfill::{Backfill, History};
pub use hooks::Hooks;
pub use identity::Identity;
pub use lookup::Lookup;
pub use oauth::OAuth;
pub use pickers::Pickers;
pub use status::SetStatus;
pub use verify::Verify;
pub use write::Write;
