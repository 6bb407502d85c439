//! The resources, a file each. [`operations`] is THE list of what is served.

pub(crate) mod actions;
pub(crate) mod agents;
pub(crate) mod aliases;
pub(crate) mod backfills;
pub(crate) mod candidates;
pub(crate) mod clients;
pub(crate) mod commands;
pub(crate) mod connections;
pub(crate) mod deadletters;
pub(crate) mod governance;
pub(crate) mod health;
pub(crate) mod installs;
pub(crate) mod mcp;
pub(crate) mod memory;
pub(crate) mod openapi;
pub(crate) mod pickers;
pub(crate) mod projects;
pub(crate) mod schemas;
pub(crate) mod sql;
pub(crate) mod switch;
pub(crate) mod talk;
pub(crate) mod tasks;
pub(crate) mod tenants;
pub(crate) mod threads;
pub(crate) mod token;
pub(crate) mod topics;
pub(crate) mod unrouted;
pub(crate) mod usage;
pub(crate) mod users;
pub(crate) mod webhooks;
pub(crate) mod workgroups;

use crate::operation::Operation;

/// THE list of operations.
pub fn operations() -> Vec<Operation> {
    [
        token::operations(),
        agents::operations(),
        talk::operations(),
        workgroups::operations(),
        projects::operations(),
        aliases::operations(),
        users::operations(),
        connections::operations(),
        pickers::operations(),
        installs::operations(),
        backfills::operations(),
        candidates::operations(),
        tasks::operations(),
        threads::operations(),
        memory::operations(),
        mcp::operations(),
        unrouted::operations(),
        actions::operations(),
        usage::operations(),
        switch::operations(),
        deadletters::operations(),
        topics::operations(),
        sql::operations(),
        tenants::operations(),
        governance::operations(),
        clients::operations(),
        schemas::operations(),
        openapi::operations(),
        health::operations(),
        webhooks::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
