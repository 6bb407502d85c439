//! Whose a token of Jira's is.

use super::{Jira, api::API};
use crate::{
    capability::{Identity, identity::ids_at},
    client::ProviderClient,
    provider::Asking,
};

const PLACES: &[&str] = &["/accountId"];

impl Identity for Jira {
    fn ask<'a>(&'a self, client: &'a ProviderClient) -> Asking<'a, Vec<String>> {
        Box::pin(async move {
            let [rest, api, version] = API;
            Ok(ids_at(&client.get(&[rest, api, version, "myself"], &[]).await?, PLACES))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::capability::identity::tests::recorded;

    #[test]
    fn jira_calls_us_as_its_events_do() {
        assert_eq!(ids_at(&json!({"accountId": "5b10a", "displayName": "Nexus"}), PLACES), ["5b10a"]);
        if let Some(answer) = recorded("jira/api.myself.200.json") {
            assert_eq!(ids_at(&answer, PLACES).len(), 1);
        }
    }
}
