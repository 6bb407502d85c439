//! What is said, made for the system in which it is said: whose name stands
//! above it, whom its mentions call, where its link leads.

use pipeline::event::{Agent, ExternalId, MirrorAuthor, MirrorPlace, MirrorText, User, UserMapping};
use reqwest::Url;
use udfs::markup::{Document, Footer, Mark, Mention, MentionKind, Options, Part, Target, notices, render};

use providers::capability::{Write, write::Face};
use runtime::directory::Directory;

/// A tenant's people and agents, by what they are called.
pub(super) struct Words<'a> {
    pub directory: &'a Directory,
    pub tenant: &'a str,
}

/// What a message is rendered for.
pub(super) struct Paper<'a> {
    pub place: &'a MirrorPlace,
    /// How it is written there.
    pub write: &'a dyn Write,
    pub command_id: &'a str,
    /// The API's address, from which Jira's pages are known.
    pub base: &'a Url,
    pub limit: Option<u32>,
    /// How many parts stand there already.
    pub parts_min: usize,
}

impl Words<'_> {
    /// The parts of a text, as they are sent.
    pub fn parts(&self, text: &MirrorText, author: Option<&MirrorAuthor>, paper: &Paper<'_>) -> Vec<Part> {
        let words = match text.plain {
            true => Document::from_plain(&text.markdown),
            false => Document::from_markdown(&text.markdown),
        };
        let words = match author {
            Some(author) if !paper.write.shows_author() => {
                notices::under_name(&self.name_of(author), label(&author.provider), words)
            }
            _ => words,
        };
        let footer = text.footer.as_ref().map(|link| Footer { label: &link.label, url: &link.url });
        self.render(&words, footer, &text.from, paper)
    }

    /// The parts of what the mirror itself says.
    pub fn notice(&self, words: &Document, paper: &Paper<'_>) -> Vec<Part> {
        self.render(words, None, "nexus", paper)
    }

    fn render(&self, words: &Document, footer: Option<Footer<'_>>, from: &str, paper: &Paper<'_>) -> Vec<Part> {
        let target = paper.place.provider();
        let lookup = |mention: &Mention| self.target(mention, from, target);
        let page = paper.write.page(paper.place, paper.base);
        let options = Options {
            lookup: &lookup,
            limit: paper.limit.and_then(|limit| limit.try_into().ok()),
            footer,
            mark: Some(Mark { id: paper.command_id, url: &page }),
            parts_min: paper.parts_min,
        };
        render(paper.write.dialect(), words, &options)
    }

    /// Under which name somebody speaks in Slack.
    pub fn face(&self, author: Option<&MirrorAuthor>) -> Face {
        let Some(author) = author else { return Face::default() };
        let name = self.name_of(author);
        let name = match label(&author.provider) {
            Some(place) => format!("{name} ({place})"),
            None => name,
        };
        let agent = author.agent_id.as_deref().and_then(|id| self.directory.get::<Agent>(self.tenant, id));
        let avatar = author.avatar.clone().or_else(|| agent?.avatar.clone());
        Face { name: Some(name), avatar: avatar.filter(|url| url.starts_with("https://")) }
    }

    fn name_of(&self, author: &MirrorAuthor) -> String {
        let agent = || Some(self.directory.get::<Agent>(self.tenant, author.agent_id.as_deref()?)?.name.clone());
        let person = || {
            let id = self.person(&author.provider, author.external_id.as_deref()?)?;
            Some(self.directory.get::<User>(self.tenant, &id)?.name.clone())
        };
        let name = author.name.clone().filter(|name| !name.trim().is_empty());
        name.or_else(agent).or_else(person).or_else(|| author.external_id.clone()).unwrap_or_else(|| "Somebody".into())
    }

    /// Whom a mention stands for at the target.
    fn target(&self, mention: &Mention, from: &str, target: &str) -> Option<Target> {
        if mention.kind != MentionKind::User {
            return None;
        }
        let id = self.person(from, &mention.id).or_else(|| self.named(&mention.id))?;
        let (name, known) = match self.directory.get::<User>(self.tenant, &id) {
            Some(user) => (user.name.clone(), external(&user.external_ids, target)),
            None => {
                let agent = self.directory.get::<Agent>(self.tenant, &id)?;
                (agent.name.clone(), external(&agent.external_ids, target))
            }
        };
        let there = known.or_else(|| self.mapped(&id, target));
        Some(there.map_or(Target::Name(name), Target::User))
    }

    /// The user or agent whom a system knows under this id.
    fn person(&self, system: &str, id: &str) -> Option<String> {
        let is_it =
            |ids: &[ExternalId]| ids.iter().any(|known| known.provider == system && known.id.eq_ignore_ascii_case(id));
        let users = self.directory.all::<User>(self.tenant);
        let user = users.iter().find(|(_, user)| is_it(&user.external_ids)).map(|(id, _)| id.to_string());
        let agent = || {
            let agents = self.directory.all::<Agent>(self.tenant);
            agents.iter().find(|(_, agent)| is_it(&agent.external_ids)).map(|(id, _)| id.to_string())
        };
        let mapping = || {
            let mappings = self.directory.all::<UserMapping>(self.tenant);
            let is_it =
                |row: &UserMapping| row.external_system == system && row.external_user_id.as_deref() == Some(id);
            mappings.iter().find(|(_, row)| is_it(row)).map(|(_, row)| row.resource_id.clone())
        };
        user.or_else(agent).or_else(mapping)
    }

    /// The agent or user of a name.
    fn named(&self, name: &str) -> Option<String> {
        let is_it = |known: &str| known.to_lowercase() == name.to_lowercase();
        let agents = self.directory.all::<Agent>(self.tenant);
        let agent = agents.iter().find(|(id, agent)| is_it(&agent.name) || **id == *name).map(|(id, _)| id.to_string());
        let users = || self.directory.all::<User>(self.tenant);
        agent.or_else(|| users().iter().find(|(_, user)| is_it(&user.name)).map(|(id, _)| id.to_string()))
    }

    /// Under which id a system knows a user or an agent.
    fn mapped(&self, id: &str, system: &str) -> Option<String> {
        let mappings = self.directory.all::<UserMapping>(self.tenant);
        let own = mappings.iter().find(|(_, row)| row.resource_id == id && row.external_system == system);
        own.and_then(|(_, row)| row.external_user_id.clone())
    }
}

fn external(ids: &[ExternalId], system: &str) -> Option<String> {
    ids.iter().find(|known| known.provider == system).map(|known| known.id.clone())
}

/// A provider's name for people.
fn label(provider: &str) -> Option<&'static str> {
    providers::find(provider).map(|provider| provider.label())
}
