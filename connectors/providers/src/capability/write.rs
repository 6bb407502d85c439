//! To say something at a provider, change it, take it back, and look for what
//! may have been said.

use pipeline::event::MirrorPlace;
use reqwest::Url;
use udfs::{
    hash::hex,
    markup::{Dialect, Document, Part, origin::Origin},
};

use crate::{
    client::{ProviderClient, ProviderError},
    provider::Asking,
};

/// Pages that are looked through for what may have landed; what is behind them
/// nobody can tell.
pub const PAGES_MAX: usize = 20;

/// How far a provider's clock may be behind ours.
pub const SKEW_MS: u64 = 60_000;

/// Who speaks, where the system lets us show that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Face {
    /// A name.
    pub name: Option<String>,
    /// A picture's address.
    pub avatar: Option<String>,
}

/// Something that carries our mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which part of the message, from one.
    pub part: usize,
    /// The provider's id of it.
    pub id: String,
    /// The content hash of what it says.
    pub hash: String,
}

impl Found {
    /// What carries a mark, if it is this command's.
    pub fn of(origin: Option<Origin>, command: &str, id: Option<String>, says: impl Fn() -> Document) -> Option<Found> {
        let origin = origin.filter(|origin| origin.id == command)?;
        Some(Found { part: origin.part, id: id?, hash: hex(says().content_hash()) })
    }
}

/// Says things in places of its own; of any other place it is an error.
pub trait Write: Send + Sync {
    /// How text is written there.
    fn dialect(&self) -> Dialect;

    /// Whether a message shows who speaks, so that the text need not.
    fn shows_author(&self) -> bool {
        false
    }

    /// The smallest limit of a part into which a footer and a mark fit.
    fn part_limit_min(&self) -> u32 {
        2_000
    }

    /// The page that a mark's own link leads to: the one it stands on.
    fn page(&self, _place: &MirrorPlace, _base: &Url) -> String {
        String::new()
    }

    /// What a limit goes by, beside the token (Slack's channel). One message of
    /// a scope is said at a time.
    fn scope<'p>(&self, _place: &'p MirrorPlace) -> Option<&'p str> {
        None
    }

    /// Where the further parts of a message go, whose first has this id.
    fn place_of_parts(&self, place: &MirrorPlace, _first: &str) -> MirrorPlace {
        place.clone()
    }

    /// The thread of a place, where there are such.
    fn thread(&self, _place: &MirrorPlace) -> Option<String> {
        None
    }

    /// Says something; its id there.
    fn post<'a>(
        &'a self,
        client: &'a ProviderClient,
        place: &'a MirrorPlace,
        part: &'a Part,
        face: &'a Face,
    ) -> Asking<'a, String>;

    /// Says something else instead.
    fn edit<'a>(
        &'a self,
        client: &'a ProviderClient,
        place: &'a MirrorPlace,
        id: &'a str,
        part: &'a Part,
    ) -> Asking<'a, ()>;

    /// Takes something away.
    fn remove<'a>(&'a self, client: &'a ProviderClient, place: &'a MirrorPlace, id: &'a str) -> Asking<'a, ()>;

    /// What stands there with the mark of a command, in no order.
    fn find<'a>(
        &'a self,
        client: &'a ProviderClient,
        place: &'a MirrorPlace,
        command: &'a str,
        since_ms: u64,
    ) -> Asking<'a, Vec<Found>>;

    /// What is only possible in a chat.
    fn chat(&self) -> Option<&dyn Chat> {
        None
    }
}

/// What is only possible in a chat.
pub trait Chat: Send + Sync {
    /// The place of a channel or of a thread in it.
    fn place(&self, channel: &str, thread: Option<&str>) -> MirrorPlace;

    /// Tells one person something that nobody else sees, and that is kept
    /// nowhere; its id.
    fn whisper<'a>(
        &'a self,
        client: &'a ProviderClient,
        place: &'a MirrorPlace,
        user: &'a str,
        part: &'a Part,
    ) -> Asking<'a, String>;

    /// Makes a channel; its id. With `unsure_since_ms` it may be there already.
    fn create_channel<'a>(
        &'a self,
        client: &'a ProviderClient,
        name: &'a str,
        unsure_since_ms: Option<u64>,
    ) -> Asking<'a, String>;
}

/// A place that is not one of this connection's.
pub fn elsewhere(place: &MirrorPlace) -> ProviderError {
    ProviderError::unsupported(format!("the connection does not lead to {}", place.provider()))
}
