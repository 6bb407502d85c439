//! A connection that commands are done at: its client, and how its provider is
//! written to.

use pipeline::event::MirrorPlace;
use udfs::markup::Part;

use providers::{
    capability::{
        Write,
        status::Move,
        write::{Chat, Face, Found, SKEW_MS, elsewhere},
    },
    client::{ProviderClient, ProviderError},
};

/// See the module.
pub(super) struct Target {
    pub client: ProviderClient,
    pub write: &'static dyn Write,
}

impl Target {
    /// The target of a client whose provider can be written to.
    pub fn new(client: ProviderClient) -> Result<Target, ProviderError> {
        let nothing = || ProviderError::unsupported("nothing can be asked of this provider");
        let write = client.provider.write().ok_or_else(nothing)?;
        Ok(Target { client, write })
    }

    /// A place and its connection's provider agree.
    fn check(&self, place: &MirrorPlace) -> Result<(), ProviderError> {
        if self.client.provider.name() == place.provider() { Ok(()) } else { Err(elsewhere(place)) }
    }

    /// What is only possible in a chat.
    pub fn chat(&self) -> Result<&'static dyn Chat, ProviderError> {
        let no_chat = || ProviderError::unsupported("the connection does not lead to Slack");
        self.write.chat().ok_or_else(no_chat)
    }

    /// Says something; its id there.
    pub async fn post(&self, place: &MirrorPlace, part: &Part, face: &Face) -> Result<String, ProviderError> {
        self.check(place)?;
        self.write.post(&self.client, place, part, face).await
    }

    /// Says something else instead.
    pub async fn edit(&self, place: &MirrorPlace, id: &str, part: &Part) -> Result<(), ProviderError> {
        self.check(place)?;
        self.write.edit(&self.client, place, id, part).await
    }

    /// Takes something away. That it is gone already is as good.
    pub async fn remove(&self, place: &MirrorPlace, id: &str) -> Result<(), ProviderError> {
        self.check(place)?;
        match self.write.remove(&self.client, place, id).await {
            Err(ProviderError::Gone { .. }) => Ok(()),
            removed => removed,
        }
    }

    /// What stands there with the mark of a command, in no order.
    pub async fn find(&self, place: &MirrorPlace, command: &str, since_ms: u64) -> Result<Vec<Found>, ProviderError> {
        self.check(place)?;
        self.write.find(&self.client, place, command, since_ms.saturating_sub(SKEW_MS)).await
    }

    /// Moves a task; the provider's word for where it is now.
    pub async fn set_status(&self, place: &MirrorPlace, wanted: Move<'_>) -> Result<String, ProviderError> {
        self.check(place)?;
        let provider = self.client.provider;
        let no_tasks = || ProviderError::unsupported(format!("{} has no tasks", provider.label()));
        provider.status().ok_or_else(no_tasks)?.set(&self.client, place, wanted).await
    }
}
