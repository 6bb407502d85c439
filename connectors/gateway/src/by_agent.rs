//! A value for each agent: looked up by tenant and agent without an allocation.

use hashbrown::HashMap;

/// See the module.
pub struct ByAgent<V>(HashMap<Box<str>, HashMap<Box<str>, V>>);

impl<V> Default for ByAgent<V> {
    fn default() -> Self {
        ByAgent(HashMap::new())
    }
}

impl<V> ByAgent<V> {
    /// An agent's.
    pub fn get(&self, tenant: &str, agent: &str) -> Option<&V> {
        self.0.get(tenant)?.get(agent)
    }

    /// An agent's, to change it.
    pub fn get_mut(&mut self, tenant: &str, agent: &str) -> Option<&mut V> {
        self.0.get_mut(tenant)?.get_mut(agent)
    }

    /// An agent's, made if it is not there.
    pub fn get_or(&mut self, tenant: &str, agent: &str, make: impl FnOnce() -> V) -> &mut V {
        of_key(of_key(&mut self.0, tenant, HashMap::new), agent, make)
    }

    /// All of a tenant.
    pub fn tenant(&self, tenant: &str) -> impl Iterator<Item = (&str, &V)> {
        self.0.get(tenant).into_iter().flatten().map(|(agent, value)| (&**agent, value))
    }

    /// All of a tenant, to change them.
    pub fn tenant_mut(&mut self, tenant: &str) -> &mut HashMap<Box<str>, V> {
        of_key(&mut self.0, tenant, HashMap::new)
    }

    /// Takes an agent's away.
    pub fn remove(&mut self, tenant: &str, agent: &str) {
        let Some(agents) = self.0.get_mut(tenant) else { return };
        agents.remove(agent);
        if agents.is_empty() {
            self.0.remove(tenant);
        }
    }

    /// All of them: tenant, agent, value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &V)> {
        let all = self.0.iter();
        all.flat_map(|(tenant, agents)| agents.iter().map(move |(agent, value)| (&**tenant, &**agent, value)))
    }

    /// All of them, to change them.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.values_mut().flat_map(HashMap::values_mut)
    }
}

/// A key's value, made if it is not there.
pub fn of_key<'a, V>(map: &'a mut HashMap<Box<str>, V>, key: &str, make: impl FnOnce() -> V) -> &'a mut V {
    if !map.contains_key(key) {
        map.insert(key.into(), make());
    }
    map.get_mut(key).expect("it was put there if it was missing")
}
