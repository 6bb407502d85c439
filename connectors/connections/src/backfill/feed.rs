//! Writes down what was found, as a webhook would have brought it.

use std::{borrow::Cow, collections::BTreeMap};

use pipeline::{
    event::{Reconciled, Time, Webhook},
    ports::{Headers, NewRecord},
    topics::{Topic, partition_of},
};
use serde_json::Value;

use crate::Connections;
use providers::client::{ProviderClient, ProviderError};

/// See the module.
pub struct Feed<'a> {
    office: &'a Connections,
    tenant: &'a str,
    connection: &'a str,
    provider: &'static str,
    mode: Reconciled,
    waiting: Vec<NewRecord>,
}

impl<'a> Feed<'a> {
    /// Of a connection.
    pub fn new(office: &'a Connections, client: &'a ProviderClient, mode: Reconciled) -> Feed<'a> {
        let provider = client.provider.name();
        Feed { office, tenant: &client.tenant, connection: &client.connection, provider, mode, waiting: Vec::new() }
    }

    /// One body, whose delivery may have a name.
    pub fn put(&mut self, body: &Value, headers: &[(&'static str, &str)], delivery: Option<&str>) {
        let now_ms = self.office.clock.now_ms();
        let headers: BTreeMap<_, _> =
            headers.iter().map(|(name, value)| (Cow::Borrowed(*name), Cow::Borrowed(*value))).collect();
        let webhook = Webhook {
            tenant_id: Cow::Borrowed(self.tenant),
            provider: Cow::Borrowed(self.provider),
            connection_id: Some(Cow::Borrowed(self.connection)),
            delivery_id: delivery.map(Cow::Borrowed),
            sender_id: None,
            received_at: Time::from_ms(now_ms),
            content_type: None,
            headers,
            nonce: None,
            reconciled: Some(self.mode),
            body: Some(Cow::Owned(body.to_string())),
            body_base64: None,
        };
        // A webhook is made of texts alone.
        let Ok(value) = serde_json::to_vec(&webhook) else { return };
        self.waiting.push(NewRecord {
            topic: Topic::WebhooksRaw,
            partition: partition_of(self.tenant, self.office.log.partitions()),
            at_ms: now_ms,
            key: self.tenant.to_owned().into(),
            value: Some(value.into()),
            headers: Headers::new([("type", self.provider.as_bytes()), ("schema", b"nexus.webhook.v1".as_slice())]),
        });
    }

    /// Waits until all of it is durable; how much it was.
    pub async fn flush(&mut self) -> Result<u64, ProviderError> {
        let records = std::mem::take(&mut self.waiting);
        let count = records.len() as u64;
        if count > 0 {
            self.office.log.append(records).await?;
            self.office.counts.fed.with_label_values(&[self.provider]).inc_by(count);
        }
        Ok(count)
    }
}
