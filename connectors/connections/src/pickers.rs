//! What there is at a provider to choose from, with the projects that it is
//! mapped to already.

use pipeline::event::Project;

use super::{Connections, calls::HURRIED};
use providers::{
    Provider,
    capability::{
        Pickers,
        pickers::{NO_CHANNELS, NO_LISTS},
    },
    client::{ProviderClient, ProviderError},
};

pub use providers::capability::pickers::{Asked, Choice, Picked, TaskChoice};

impl Connections {
    /// The channels that can be mapped.
    pub async fn channels(&self, tenant: &str, id: &str, asked: Asked<'_>) -> Result<Picked<Choice>, ProviderError> {
        let client = self.client(tenant, id, HURRIED)?;
        let page = pickers(&client, NO_CHANNELS)?.channels(&client, asked).await?;
        Ok(self.with_projects(&client, page))
    }

    /// The lists, repositories or projects that can be mapped.
    pub async fn lists(&self, tenant: &str, id: &str, asked: Asked<'_>) -> Result<Picked<Choice>, ProviderError> {
        let client = self.client(tenant, id, HURRIED)?;
        let page = pickers(&client, NO_LISTS)?.lists(&client, asked).await?;
        Ok(self.with_projects(&client, page))
    }

    /// The tasks of a list.
    pub async fn tasks(
        &self,
        tenant: &str,
        id: &str,
        list: &str,
        asked: Asked<'_>,
    ) -> Result<Picked<TaskChoice>, ProviderError> {
        let client = self.client(tenant, id, HURRIED)?;
        pickers(&client, NO_LISTS)?.tasks(&client, list, asked).await
    }

    fn with_projects(&self, client: &ProviderClient, mut page: Picked<Choice>) -> Picked<Choice> {
        for row in &mut page.rows {
            row.project_id = self.project_of(&client.tenant, client.provider, &row.id);
        }
        page
    }

    /// The project that something is mapped to.
    fn project_of(&self, tenant: &str, provider: &dyn Provider, id: &str) -> Option<String> {
        let is_it = |row: &Project| provider.place_of(row).is_some_and(|named| named.eq_ignore_ascii_case(id));
        let projects = self.directory.all::<Project>(tenant);
        projects.iter().find(|(_, row)| is_it(row)).map(|(id, _)| id.to_string())
    }
}

fn pickers(client: &ProviderClient, without: &'static str) -> Result<&'static dyn Pickers, ProviderError> {
    client.provider.pickers().ok_or_else(|| ProviderError::unsupported(without))
}
