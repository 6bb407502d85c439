//! Whose a token of ClickUp's is.

use super::ClickUp;
use crate::{
    capability::{Identity, identity::ids_at},
    client::ProviderClient,
    provider::Asking,
};

const PLACES: &[&str] = &["/user/id"];

impl Identity for ClickUp {
    fn ask<'a>(&'a self, client: &'a ProviderClient) -> Asking<'a, Vec<String>> {
        Box::pin(async move { Ok(ids_at(&client.get(&["user"], &[]).await?, PLACES)) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::capability::identity::tests::recorded;

    #[test]
    fn clickup_calls_us_as_its_events_do() {
        assert_eq!(ids_at(&json!({"user": {"id": 40118800, "username": "Nexus"}}), PLACES), ["40118800"]);
        if let Some(answer) = recorded("clickup/api_recorded.GetAuthorizedUser.Success.json") {
            assert_eq!(ids_at(&answer, PLACES).len(), 1);
        }
    }
}
