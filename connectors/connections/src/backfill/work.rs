//! What a step of a backfill is done with: what is known of the connection, and
//! where what is found is fed in.

use pipeline::event::{Reconciled, Task, Time};
use serde_json::Value;

use super::{STEPS_MAX, feed::Feed, known::Known};
use crate::Connections;
use providers::{
    capability::{History, backfill::Heard, hooks::OwnHook},
    client::ProviderClient,
    provider::Asking,
};
use store::{PAGE_ROWS_MAX, Paging, StoreError, TaskFilter};

/// See the module.
pub(super) struct Work<'a> {
    office: &'a Connections,
    client: &'a ProviderClient,
    pub feed: Feed<'a>,
    pub known: Known,
    from: Time,
    mode: Reconciled,
}

impl<'a> Work<'a> {
    /// For what happened since then.
    pub fn new(
        office: &'a Connections,
        client: &'a ProviderClient,
        known: Known,
        (from, mode): (Time, Reconciled),
    ) -> Work<'a> {
        Work { office, client, feed: Feed::new(office, client, mode), known, from, mode }
    }
}

impl History for Work<'_> {
    fn from(&self) -> Time {
        self.from
    }
    fn is_history(&self) -> bool {
        self.mode == Reconciled::History
    }
    fn now_ms(&self) -> u64 {
        self.office.clock.now_ms()
    }
    fn fresh_ms(&self) -> u64 {
        self.office.settings.fresh_ms
    }
    fn heard(&mut self, kind: &str, id: &str, text: &str) -> Heard {
        self.known.heard(kind, id, text)
    }
    fn tell(&mut self, kind: &str, id: &str, text: &str) {
        self.known.tell(kind, id, text);
    }
    fn tell_gone(&mut self, task: &str, id: &str) {
        self.known.tell_gone(task, id);
    }
    fn tasks(&self) -> Vec<String> {
        self.known.tasks().collect()
    }
    fn comments_on(&self, task: &str) -> Vec<String> {
        self.known.comments_on(task).cloned().collect()
    }
    fn refresh(&mut self) -> Asking<'_, ()> {
        Box::pin(async move {
            let (client, is_history) = (self.client, self.is_history());
            self.office.learn_more(&mut self.known, &client.tenant, &client.connection, is_history).await
        })
    }
    fn status_of(&self, task: &str) -> Option<String> {
        self.known.status_of(self.client.provider.name(), task).map(str::to_owned)
    }
    fn feed(&mut self, body: &Value, headers: &[(&'static str, &str)], delivery: Option<&str>) {
        self.feed.put(body, headers, delivery);
    }

    fn task<'b>(&'b self, external_id: &'b str) -> Asking<'b, Option<Task>> {
        Box::pin(async move {
            match self.office.store.tasks().by_external_id(&self.client.tenant, external_id).await {
                Ok(row) => Ok(serde_json::from_value(row).ok()),
                Err(StoreError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Those of open tasks.
    fn threads<'b>(&'b self, channel: &'b str) -> Asking<'b, Vec<String>> {
        Box::pin(async move {
            let mut threads = Vec::new();
            let mut paging = Paging { limit: PAGE_ROWS_MAX, after: None };
            loop {
                let tasks = self.office.store.tasks();
                let page = tasks.list(&self.client.tenant, &TaskFilter::default(), &paging).await?;
                let tasks = page.rows.into_iter().filter_map(|row| serde_json::from_value::<Task>(row).ok());
                let here = tasks.filter(|task| task.channel_id.as_deref() == Some(channel) && !task.deleted);
                threads.extend(here.filter_map(|task| task.thread_ts));
                match page.next.filter(|_| threads.len() < STEPS_MAX) {
                    Some(next) => paging.after = Some(next),
                    None => return Ok(threads),
                }
            }
        })
    }

    fn hook(&self) -> Asking<'_, (Option<OwnHook>, Option<String>)> {
        Box::pin(async move {
            let own = self.office.own_hook(&self.client.tenant, &self.client.connection).await?;
            Ok((own, self.office.endpoint(self.client.provider)))
        })
    }
}
