//! Which connection a request goes through, and with which token.

use std::sync::Arc;

use pipeline::event::Connection;

use crate::{config::Config, directory::Directory};

/// Opens what is sealed with the hub's encryption key.
pub trait Opens: Send + Sync {
    /// The secret inside; `None` when it was sealed with another key.
    fn open(&self, sealed: &str) -> Option<String>;
}

/// Opens nothing: for a hub without an encryption key.
pub struct Closed;

impl Opens for Closed {
    fn open(&self, _sealed: &str) -> Option<String> {
        None
    }
}

/// A way to a provider.
#[derive(Clone)]
pub struct Link {
    /// Whose API it is.
    pub provider: String,
    /// What calls are made with.
    pub token: Option<String>,
}

/// The tenants' links.
pub struct Links {
    directory: Arc<Directory>,
    seal: Arc<dyn Opens>,
    /// (id, tenant, provider) of the connections in the settings.
    configured: Vec<(String, String, String)>,
    default_tenant: Option<String>,
    clickup_token: Option<String>,
}

impl Links {
    /// The links of the directory, and those of the settings.
    pub fn new(config: &Config, directory: Arc<Directory>, seal: Arc<dyn Opens>) -> Links {
        let configured = config.connections.iter();
        let token = &config.providers.clickup_api_token;
        Links {
            directory,
            seal,
            configured: configured.map(|own| (own.id.clone(), own.tenant.clone(), own.provider.clone())).collect(),
            default_tenant: config.tenant_by_default().map(str::to_owned),
            clickup_token: Some(token.clone()).filter(|token| !token.is_empty()),
        }
    }

    /// A tenant's link, if it is there and not switched off.
    pub fn find(&self, tenant: &str, connection_id: &str) -> Option<Link> {
        let (provider, sealed) = match self.directory.get::<Connection>(tenant, connection_id) {
            Some(row) if !row.enabled => return None,
            Some(row) => (row.provider.clone(), row.sealed_token.clone()),
            None => {
                let is_it = |(id, owner, _): &&(String, String, String)| id == connection_id && owner == tenant;
                (self.configured.iter().find(is_it)?.2.clone(), None)
            }
        };
        let token = match sealed {
            Some(sealed) => self.seal.open(&sealed),
            // The settings' token is that of whoever runs the hub, so it works
            // for the default tenant alone: another would see its tasks.
            None if self.default_tenant.as_deref() == Some(tenant) && provider == "clickup" => {
                self.clickup_token.clone()
            }
            None => None,
        };
        Some(Link { provider, token: token.filter(|token| !token.is_empty()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::{
        event::{Control, Row, Time},
        ports::{Headers, Position, Record},
        topics::Topic,
    };

    struct Reversed;

    impl Opens for Reversed {
        fn open(&self, sealed: &str) -> Option<String> {
            sealed.strip_prefix("v1.").map(|text| text.chars().rev().collect())
        }
    }

    fn row(tenant: &str, id: &str, sealed: Option<&str>, enabled: bool) -> Record {
        let sealed_token = sealed.map(str::to_owned);
        let row = Connection { provider: "clickup".to_owned(), sealed_token, enabled, ..Connection::default() };
        let control = Control {
            kind: Connection::KIND.to_owned(),
            tenant_id: tenant.to_owned(),
            id: id.to_owned(),
            data: serde_json::to_value(row).expect("a row"),
            at: Time::from_ms(0),
        };
        Record {
            position: Position { topic: Topic::Control, partition: 0, offset: 0 },
            at_ms: 0,
            key: format!("{tenant}/{}/{id}", Connection::KIND).into(),
            value: Some(serde_json::to_vec(&control).expect("JSON").into()),
            headers: Headers::default(),
        }
    }

    #[test]
    fn a_token_is_the_connections_own_or_the_default_tenants() {
        let config = Config::load(
            None,
            [("CLICKUP_API_TOKEN", "pk_house"), ("NEXUS_DEFAULT_TENANT", "acme")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let directory = Arc::new(Directory::default());
        for record in [
            row("acme", "own", Some("v1.nwo_kp"), true),
            row("acme", "none", None, true),
            row("acme", "foreign", Some("sealed with another key"), true),
            row("acme", "off", Some("v1.nwo_kp"), false),
            row("umbra", "theirs", None, true),
        ] {
            directory.apply(&record);
        }
        let links = Links::new(&config.expect("valid"), directory, Arc::new(Reversed));
        let token = |tenant, id| links.find(tenant, id).map(|link| link.token);
        assert_eq!(token("acme", "own"), Some(Some("pk_own".to_owned())));
        assert_eq!(token("acme", "none"), Some(Some("pk_house".to_owned())));
        assert_eq!(token("acme", "foreign"), Some(None), "another one is not put in its place");
        assert_eq!(token("acme", "off"), None);
        assert_eq!(token("umbra", "theirs"), Some(None), "the house's token is not theirs");
        assert_eq!(token("umbra", "own"), None, "a connection of another tenant is not there");
    }
}
