//! Which connection a request goes through, to which address and with which
//! token.

use std::sync::Arc;

use pipeline::event::{Connection, House};

use runtime::{
    config::{Config, ProviderSettings},
    directory::Directory,
    sealing::Seal,
};

/// What is known of a connection, to call through it.
#[derive(Clone, Default)]
pub struct Link {
    /// Whose API it is.
    pub provider: String,
    /// What calls are made with.
    pub token: Option<String>,
    /// What the provider has of it: a team, a site, a repository.
    pub external_id: String,
    /// Where its API is, if it has an own address.
    pub base_url: Option<String>,
    /// Whose token it is, where the provider asks for that.
    pub email: Option<String>,
    /// Who we are there, as far as somebody has told.
    pub own_ids: Vec<String>,
}

/// The tenants' links.
pub struct Links {
    directory: Arc<Directory>,
    seal: Arc<Seal>,
    config: Config,
}

impl Links {
    /// The links of the directory, and those of the settings.
    pub fn new(config: &Config, directory: Arc<Directory>, seal: Arc<Seal>) -> Links {
        Links { directory, seal, config: config.clone() }
    }

    /// A tenant's link, if it is there and not switched off.
    pub fn find(&self, tenant: &str, connection_id: &str) -> Option<Link> {
        let row = match self.directory.get::<Connection>(tenant, connection_id) {
            Some(row) if !row.enabled => return None,
            Some(row) => row,
            None => {
                let mut configured = self.config.connections.iter();
                let own = configured.find(|own| own.id == connection_id && own.tenant == tenant)?;
                let (provider, external_id) = (own.provider.clone(), own.external_id.clone());
                Arc::new(Connection { provider, external_id, ..Connection::default() })
            }
        };
        let token = match &row.sealed_token {
            Some(sealed) => self.seal.open(tenant, connection_id, sealed),
            None => self.house_token(tenant, &row.provider),
        };
        Some(Link {
            provider: row.provider.clone(),
            token: token.filter(|token| !token.is_empty()),
            external_id: row.external_id.clone(),
            base_url: row.base_url.clone().filter(|url| !url.is_empty()),
            email: row.email.clone(),
            own_ids: row.own_ids.clone(),
        })
    }

    /// The settings' token is that of whoever runs the hub, so it works for one
    /// tenant alone: another would see its tasks.
    fn house_token(&self, tenant: &str, provider: &str) -> Option<String> {
        let house = self.directory.get::<House>(tenant, House::ID)?;
        default_token(provider, &self.config.providers).filter(|_| house.has(provider)).map(str::to_owned)
    }
}

/// The hub's own token for a provider, if it has one.
pub fn default_token<'s>(provider: &str, settings: &'s ProviderSettings) -> Option<&'s str> {
    let key = crate::of(provider).api().token_key()?;
    Some(settings.get(key)).filter(|token| !token.is_empty())
}

/// The providers that the hub has tokens of its own for.
pub fn with_default_token(settings: &ProviderSettings) -> Vec<&'static str> {
    let names = crate::PROVIDERS.iter().map(|provider| provider.name());
    names.filter(|name| default_token(name, settings).is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::{
        event::{Control, Row, Time},
        ports::{Headers, Position, Record},
        topics::Topic,
    };
    use runtime::sealing::new_key;

    fn row(tenant: &str, id: &str, sealed: Option<&str>, enabled: bool) -> Record {
        let sealed_token = sealed.map(str::to_owned);
        let provider = ["slack", "github", "jira"].into_iter().find(|name| *name == id).unwrap_or("clickup");
        of(tenant, id, &Connection { provider: provider.to_owned(), sealed_token, enabled, ..Connection::default() })
    }

    fn of<R: Row>(tenant: &str, id: &str, row: &R) -> Record {
        let control = Control {
            kind: R::KIND.to_owned(),
            tenant_id: tenant.to_owned(),
            id: id.to_owned(),
            data: serde_json::to_value(row).expect("a row"),
            at: Time::from_ms(0),
        };
        Record {
            position: Position { topic: Topic::Control, partition: 0, offset: 0 },
            at_ms: 0,
            key: format!("{tenant}/{}/{id}", R::KIND).into(),
            value: Some(serde_json::to_vec(&control).expect("JSON").into()),
            headers: Headers::default(),
        }
    }

    #[test]
    fn a_token_is_the_connections_own_or_the_houses() {
        let config = Config::load(
            None,
            [("CLICKUP_API_TOKEN", "pk_house"), ("SLACK_BOT_TOKEN", "xoxb-house"), ("GITHUB_TOKEN", "ghp_house")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let (seal, foreign) = (Seal::new(&new_key()).expect("a key"), Seal::new(&new_key()).expect("a key"));
        let own = seal.seal("acme", "own", "pk_own");
        let directory = Arc::new(Directory::default());
        for record in [
            row("acme", "own", Some(&own), true),
            row("acme", "none", None, true),
            row("acme", "moved", Some(&own), true),
            row("acme", "foreign", Some(&foreign.seal("acme", "foreign", "pk_other")), true),
            row("acme", "off", Some(&seal.seal("acme", "off", "pk_off")), false),
            row("umbra", "theirs", None, true),
            row("acme", "slack", None, true),
            row("acme", "github", None, true),
            row("acme", "jira", None, true),
            row("umbra", "slack", None, true),
            of("acme", House::ID, &House { providers: ["clickup", "slack", "github"].map(str::to_owned).into() }),
        ] {
            directory.apply(&record);
        }
        let links = Links::new(&config.expect("valid"), directory, Arc::new(seal));
        let token = |tenant, id| links.find(tenant, id).map(|link| link.token);
        assert_eq!(token("acme", "own"), Some(Some("pk_own".to_owned())));
        assert_eq!(token("acme", "none"), Some(Some("pk_house".to_owned())));
        assert_eq!(token("acme", "slack"), Some(Some("xoxb-house".to_owned())));
        assert_eq!(token("acme", "github"), Some(Some("ghp_house".to_owned())));
        assert_eq!((token("acme", "jira"), token("umbra", "slack")), (Some(None), Some(None)));
        assert_eq!(token("acme", "foreign"), Some(None), "another one is not put in its place");
        assert_eq!(token("acme", "moved"), Some(None), "what was sealed for another connection stays closed");
        assert_eq!(token("acme", "off"), None);
        assert_eq!(token("umbra", "theirs"), Some(None), "the house's token is not theirs");
        assert_eq!(token("umbra", "own"), None, "a connection of another tenant is not there");
    }
}
