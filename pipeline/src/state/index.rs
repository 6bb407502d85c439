//! By what a tenant's rows are found: made of the rows, whole, when they have
//! changed. Where two rows claim the same name, the one with the lower id has
//! it, and one that is archived or disabled only if nobody else wants it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hashbrown::{Equivalent, HashMap, HashSet};

use serde_json::Value;

use crate::{
    event::{Connection, House, Notify, OnListCreated, Project, ProjectRef, TaskState},
    governance::Limits,
    state::rows::{Rows, TOOL},
};

/// An agent's id.
pub type AgentId = Arc<str>;

/// Where an event can belong: a project, or a workgroup's own channel.
#[derive(Debug, Default)]
pub struct Place {
    /// The project, unless it is only a workgroup's channel.
    pub project_id: Option<String>,
    /// What it is called.
    pub name: Option<String>,
    /// Whose it is.
    pub workgroup_id: Option<String>,
    /// Where it is discussed.
    pub channel_id: Option<String>,
    /// The enabled agents that may be told of it, in the order of their ids:
    /// the workgroup's, or all of the tenant's where there is no workgroup.
    pub agents: Vec<AgentId>,
    /// Whom a new work item is told to.
    pub notify: Notify,
    /// The provider's words, and the states they are.
    pub status_map: BTreeMap<String, TaskState>,
    /// It is over: followed still, told to nobody.
    pub archived: bool,
}

impl Place {
    /// Whether an agent may be told of it, and may act in it.
    pub fn has(&self, agent: &str) -> bool {
        self.agents.binary_search_by(|known| (**known).cmp(agent)).is_ok()
    }

    /// Fills in what events say of it; what the event itself says stays.
    pub fn describe(&self, project: &mut ProjectRef) {
        project.id.clone_from(&self.project_id);
        project.workgroup_id.clone_from(&self.workgroup_id);
        if project.name.is_none() {
            project.name.clone_from(&self.name);
        }
        if project.slack_channel_id.is_none() {
            project.slack_channel_id.clone_from(&self.channel_id);
        }
    }
}

/// A provider and an id there.
type Abroad = (Box<str>, Box<str>);

#[derive(Hash)]
struct By<'a>(&'a str, &'a str);

impl Equivalent<Abroad> for By<'_> {
    fn equivalent(&self, key: &Abroad) -> bool {
        *self.0 == *key.0 && *self.1 == *key.1
    }
}

/// How an agent shows itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// What it is called.
    pub name: String,
    /// A picture's address.
    pub avatar: Option<String>,
    /// The tools that are not the hub's and that it may use: `NAME`,
    /// `NAME.ACTION`, or `*`.
    pub tools: Vec<String>,
}

impl Card {
    /// Whether its owner lets it use a tool that is not the hub's.
    pub fn may_use(&self, tool: &str, action: Option<&str>) -> bool {
        self.tools.iter().any(|known| match known.split_once('.') {
            _ if known == "*" || known == tool => true,
            Some((name, wanted)) => name == tool && action == Some(wanted),
            None => false,
        })
    }
}

/// What is to become of lists in a workgroup's space or folder.
#[derive(Debug)]
struct Squad {
    folder: Option<String>,
    space: Option<String>,
    on_list_created: OnListCreated,
    channel: Option<String>,
}

/// One tenant's rows, by what they are found by.
#[derive(Default)]
pub struct Index {
    /// What the tenant's agents may do.
    pub limits: Limits,
    projects: HashMap<Box<str>, Arc<Place>>,
    /// By provider and the id of the list, repository (in lower case), project
    /// key or channel there.
    places: HashMap<Abroad, Arc<Place>>,
    names: HashMap<Box<str>, Vec<AgentId>>,
    agents: BTreeMap<AgentId, bool>,
    agents_abroad: HashMap<Abroad, AgentId>,
    people: HashSet<Abroad>,
    people_ids: HashSet<Box<str>>,
    people_names: HashMap<Abroad, Box<str>>,
    addresses: HashSet<Box<str>>,
    own: HashSet<Abroad>,
    connections: BTreeMap<Box<str>, Connection>,
    cards: HashMap<AgentId, Card>,
    workgroups: BTreeMap<Box<str>, Squad>,
    jira: Option<Box<str>>,
    /// The providers for which the tenant may use the settings' tokens.
    house: House,
}

impl Index {
    /// Of a tenant's rows. `limits` are those of tenants that set none of their
    /// own.
    pub fn of(rows: &Rows, limits: &Limits) -> Self {
        let own = rows.tenants.values().find_map(|tenant| tenant.limits.clone());
        // The API lets no others in; what a later version wrote is not for us.
        let own = own.and_then(|own| limits.over(&Value::Object(own)).ok());
        let limits = own.unwrap_or_else(|| limits.clone());
        let house = rows.houses.get(House::ID).cloned().unwrap_or_default();
        let mut index = Index { limits, house, ..Index::default() };
        index.add_agents(rows);
        index.add_places(rows);
        index.add_people(rows);
        for (id, connection) in &rows.connections {
            for own in &connection.own_ids {
                index.own.insert(abroad(&connection.provider, own));
            }
            if connection.provider == "jira" && index.jira.is_none() {
                index.jira = Some((**id).into());
            }
            index.connections.insert((**id).into(), connection.clone());
        }
        index
    }

    fn add_agents(&mut self, rows: &Rows) {
        // An alias goes before an agent's own name, and spaces cannot be called.
        for alias in rows.aliases.values() {
            let agents = alias.agent_ids.iter().filter_map(|id| rows.agents.get_key_value(&**id));
            let agents: Vec<_> = agents.map(|(id, _)| Arc::clone(id)).collect();
            self.names.entry(folded(&alias.alias)).or_insert(agents);
        }
        for (id, agent) in &rows.agents {
            self.agents.insert(Arc::clone(id), agent.enabled);
            let tools = agent.capabilities.iter().filter_map(|can| can.strip_prefix(TOOL)).map(str::to_owned).collect();
            let card = Card { name: agent.name.clone(), avatar: agent.avatar.clone(), tools };
            self.cards.insert(Arc::clone(id), card);
            for name in [agent.name.clone(), agent.name.replace(' ', "_"), agent.name.replace(' ', "-")] {
                self.names.entry(folded(&name)).or_insert_with(|| vec![Arc::clone(id)]);
            }
            for external in &agent.external_ids {
                self.agents_abroad.entry(abroad(&external.provider, &external.id)).or_insert_with(|| Arc::clone(id));
            }
        }
    }

    fn add_places(&mut self, rows: &Rows) {
        let enabled = |id: &&AgentId| self.agents.get(&***id).copied().unwrap_or_default();
        let everyone: Vec<AgentId> = self.agents.keys().filter(enabled).cloned().collect();
        let circles: BTreeMap<&str, Vec<AgentId>> = rows
            .workgroups
            .iter()
            .map(|(id, workgroup)| {
                let members: BTreeSet<&str> = workgroup.agent_ids.iter().map(|id| &**id).collect();
                let members = members.into_iter().filter_map(|id| self.agents.get_key_value(id).map(|(id, _)| id));
                (&**id, members.filter(enabled).cloned().collect())
            })
            .collect();
        let (over, going): (Vec<_>, Vec<_>) = rows.projects.iter().partition(|(_, project)| project.archived);
        for (id, project) in going.into_iter().chain(over) {
            // A workgroup that is not there has no agents: fail closed.
            let agents = match &project.workgroup_id {
                Some(workgroup) => circles.get(&**workgroup).cloned().unwrap_or_default(),
                None => everyone.clone(),
            };
            let place = Arc::new(Place {
                project_id: Some(id.to_string()),
                name: Some(project.name.clone()),
                workgroup_id: project.workgroup_id.clone(),
                channel_id: project.slack_channel_id.clone().or_else(|| shared_channel(rows, project)),
                agents,
                notify: project.notify,
                status_map: project.status_map.iter().map(|(word, state)| (word.to_lowercase(), *state)).collect(),
                archived: project.archived,
            });
            let repository = project.github_repository.as_ref().map(|name| name.to_lowercase());
            let names = [
                ("clickup", project.clickup_list_id.as_deref()),
                ("github", repository.as_deref()),
                ("jira", project.jira_project_key.as_deref()),
                ("slack", project.slack_channel_id.as_deref()),
            ];
            for (provider, name) in names {
                if let Some(name) = name {
                    self.places.entry(abroad(provider, name)).or_insert_with(|| Arc::clone(&place));
                }
            }
            self.projects.insert((**id).into(), place);
        }
        for (id, workgroup) in &rows.workgroups {
            let squad = Squad {
                folder: workgroup.clickup_folder_id.clone(),
                space: workgroup.clickup_space_id.clone(),
                on_list_created: workgroup.on_list_created,
                channel: workgroup.slack_channel_id.clone(),
            };
            self.workgroups.insert((**id).into(), squad);
            let Some(channel) = &workgroup.slack_channel_id else { continue };
            let place = || {
                Arc::new(Place {
                    workgroup_id: Some(id.to_string()),
                    channel_id: Some(channel.clone()),
                    agents: circles.get(&**id).cloned().unwrap_or_default(),
                    ..Place::default()
                })
            };
            self.places.entry(abroad("slack", channel)).or_insert_with(place);
        }
    }

    fn add_people(&mut self, rows: &Rows) {
        for (id, user) in &rows.users {
            self.people_ids.insert((**id).into());
            for external in &user.external_ids {
                let key = abroad(&external.provider, &external.id);
                self.people_names.entry(key.clone()).or_insert_with(|| (*user.name).into());
                self.people.insert(key);
            }
            self.addresses.extend(user.email.iter().map(|address| folded(address)));
        }
        for mapping in rows.mappings.values() {
            let key = mapping.external_user_id.as_ref().map(|id| abroad(&mapping.external_system, id));
            if let Some((agent, _)) = self.agents.get_key_value(&*mapping.resource_id) {
                if let Some(key) = key {
                    self.agents_abroad.entry(key).or_insert_with(|| Arc::clone(agent));
                }
                continue;
            }
            self.people.extend(key);
            self.addresses.extend(mapping.external_email.iter().map(|address| folded(address)));
        }
    }

    /// The place of a list, repository, project key or channel.
    pub fn place(&self, provider: &str, id: &str) -> Option<&Arc<Place>> {
        if provider == "github" && id.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.places.get(&By(provider, &id.to_lowercase()));
        }
        self.places.get(&By(provider, id))
    }

    /// The place of a project's id.
    pub fn project(&self, id: &str) -> Option<&Arc<Place>> {
        self.projects.get(id)
    }

    /// The projects that an agent reaches, in the order of their ids: those of
    /// its workgroups.
    pub fn reach(&self, agent: &str) -> Vec<String> {
        let reached = self.projects.iter().filter(|(_, place)| place.workgroup_id.is_some() && place.has(agent));
        let mut ids: Vec<String> = reached.map(|(id, _)| id.to_string()).collect();
        ids.sort_unstable();
        ids
    }

    /// The agents that a name calls: an alias, an agent's name, or an agent's
    /// id at the provider.
    pub fn called(&self, provider: &str, name: &str) -> &[AgentId] {
        let bare = name.trim_start_matches('@');
        if let Some(agents) = self.names.get(&*folded(bare)) {
            return agents;
        }
        self.agent_abroad(provider, bare).map_or(&[], std::slice::from_ref)
    }

    /// The agent that has this id at the provider.
    pub fn agent_abroad(&self, provider: &str, id: &str) -> Option<&AgentId> {
        self.agents_abroad.get(&By(provider, id))
    }

    /// The agent of an id, and whether it is enabled.
    pub fn agent(&self, id: &str) -> Option<(&AgentId, bool)> {
        self.agents.get_key_value(id).map(|(id, enabled)| (id, *enabled))
    }

    /// All enabled agents, in the order of their ids.
    pub fn agents(&self) -> impl Iterator<Item = &AgentId> {
        self.agents.iter().filter(|(_, enabled)| **enabled).map(|(id, _)| id)
    }

    /// Whether we ourselves have this id at the provider.
    pub fn is_own(&self, provider: &str, id: &str) -> bool {
        self.own.contains(&By(provider, id))
    }

    /// Whether a person of the tenant has this id or address there.
    pub fn is_person(&self, provider: &str, id: Option<&str>, address: Option<&str>) -> bool {
        id.is_some_and(|id| self.people.contains(&By(provider, id)))
            || address.is_some_and(|address| self.addresses.contains(&folded(address)))
    }

    /// What the person is called that has this id there.
    pub fn person_name(&self, provider: &str, id: &str) -> Option<&str> {
        self.people_names.get(&By(provider, id)).map(|name| &**name)
    }

    /// Whether this is the id of a user of the hub.
    pub fn is_user(&self, id: &str) -> bool {
        self.people_ids.contains(id)
    }

    /// A connection.
    pub fn connection(&self, id: &str) -> Option<&Connection> {
        self.connections.get(id)
    }

    /// The link through which a provider is written to where nothing names one.
    /// A link that has no token, or is switched off, is written to by nobody.
    pub fn outgoing(&self, provider: &str) -> Option<&str> {
        let mut known = self.connections.iter().filter(|(_, connection)| connection.provider == provider);
        known.find(|(_, connection)| self.is_usable(connection)).map(|(id, _)| &**id)
    }

    /// Whether there is a token to call through this connection with.
    pub fn may_call(&self, connection: &str) -> bool {
        self.connection(connection).is_some_and(|connection| self.is_usable(connection))
    }

    /// Whether the settings' token for a provider is the tenant's to use.
    pub fn has_house_token(&self, provider: &str) -> bool {
        self.house.has(provider)
    }

    /// Whether a connection has a token: its own, or that of the settings.
    pub fn is_usable(&self, connection: &Connection) -> bool {
        connection.enabled && (connection.sealed_token.is_some() || self.has_house_token(&connection.provider))
    }

    /// How an agent shows itself.
    pub fn card(&self, agent: &str) -> Option<&Card> {
        self.cards.get(agent)
    }

    /// The workgroup that a list of a folder or space belongs to, and what it
    /// wants to become of it. A folder goes before the space around it.
    pub fn squad_of(&self, folder: Option<&str>, space: Option<&str>) -> Option<(&str, OnListCreated)> {
        let of = |id: Option<&str>, mine: fn(&Squad) -> Option<&str>| {
            let mut known = self.workgroups.iter();
            id.and_then(|id| known.find(|(_, squad)| mine(squad) == Some(id)))
        };
        let found = of(folder, |squad| squad.folder.as_deref()).or_else(|| of(space, |squad| squad.space.as_deref()));
        found.map(|(id, squad)| (&**id, squad.on_list_created))
    }

    /// A workgroup's own channel.
    pub fn channel_of(&self, workgroup: &str) -> Option<&str> {
        self.workgroups.get(workgroup)?.channel.as_deref()
    }

    /// The Jira site of an event that names none.
    pub fn jira(&self) -> Option<&str> {
        self.jira.as_deref()
    }
}

/// The channel of a project that has none of its own and whose workgroup wants
/// its lists discussed in the workgroup's. What is said there outside of threads
/// is the workgroup's, not the project's.
fn shared_channel(rows: &Rows, project: &Project) -> Option<String> {
    let workgroup = rows.workgroups.get(project.workgroup_id.as_deref()?)?;
    let is_shared = workgroup.on_list_created == OnListCreated::UseWorkgroupChannel;
    workgroup.slack_channel_id.clone().filter(|_| is_shared)
}

fn abroad(provider: &str, id: &str) -> Abroad {
    (provider.into(), id.into())
}

fn folded(name: &str) -> Box<str> {
    name.trim().trim_start_matches('@').to_lowercase().into()
}
