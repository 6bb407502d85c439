//! What a request comes to: parsed, answered by the desk, and its result as it is
//! written.

use std::{panic::AssertUnwindSafe, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use pipeline::{
    event::{LookupRequest, LookupResult},
    ports::{Headers, LogError, NewRecord, Record},
    topics::Topic,
};
use runtime::consumer::{Commits, Consumer, ConsumerSettings, InHand, Parsed, Processed, Processing};

use super::{GROUP, Lookups};

/// A request, and what its result repeats of the record.
pub struct LookupTask {
    request: LookupRequest,
    headers: Headers,
}

impl Consumer for Lookups {
    type Request = LookupTask;
    /// Its number: results are written where requests were.
    type Partition = u32;

    fn settings(&self) -> ConsumerSettings {
        ConsumerSettings {
            group: GROUP,
            topic: Topic::LookupsRequests,
            name: "lookups",
            // Each is gone by its deadline.
            open_max: 8_192,
            in_hand_max: 65_536,
            // Further ones are refused at once, so that one tenant's flood leaves
            // room for the others.
            in_hand_of_tenant_max: 1_024,
            batch_max: 1,
            commits: Commits::WhenAnswered,
            // What they would have found is asked for again at the next start.
            stop_grace: Duration::from_millis(500),
        }
    }

    fn now_ms(&self) -> u64 {
        self.desk.now_ms()
    }

    async fn open(&self, partition: u32) -> Result<u32, LogError> {
        Ok(partition)
    }

    fn parse(&self, record: &Record) -> Parsed<LookupTask> {
        match record.value.as_deref().map(serde_json::from_slice::<LookupRequest>) {
            // Whose token is used is a matter of the tenant: the two must agree.
            Some(Ok(request)) if request.tenant_id.as_bytes() == &*record.key => {
                Parsed::Request(LookupTask { request, headers: record.headers.clone() })
            }
            Some(Ok(_)) => Parsed::Dead("the request names another tenant than its key".to_owned()),
            Some(Err(error)) => Parsed::Dead(format!("not a request: {error}")),
            None => Parsed::Dead("a request without a value".to_owned()),
        }
    }

    fn refuse(&self, asked: &LookupTask, record: &Record) -> Option<Vec<NewRecord>> {
        let result = self.desk.refuse(&asked.request, "busy");
        Some(written(asked, &result, record.position.partition).into_iter().collect())
    }

    fn process(&self, partition: &mut u32, batch: Vec<InHand<LookupTask>>) -> Processing<LookupTask> {
        let (lookups, partition) = (self.clone(), *partition);
        Box::pin(async move {
            let mut outputs = Vec::new();
            for InHand { request: asked, .. } in batch {
                let answer = AssertUnwindSafe(lookups.desk.answer(&asked.request)).catch_unwind();
                // A panic is our defect: the event goes on without, as after a deadline.
                let result = answer.await.unwrap_or_else(|_| lookups.desk.refuse(&asked.request, "defect"));
                outputs.extend(written(&asked, &result, partition));
            }
            Processed::Answered(outputs)
        })
    }
}

fn written(asked: &LookupTask, result: &LookupResult, partition: u32) -> Option<NewRecord> {
    // Fails for nothing that this type can hold.
    let value = serde_json::to_vec(result).ok()?;
    let trace = asked.headers.get("traceparent").map(|trace| ("traceparent", trace));
    let headers = [
        ("event_id", result.request_id.as_bytes()),
        ("type", asked.request.kind.as_bytes()),
        ("schema", b"nexus.lookup-result.v1".as_slice()),
    ];
    Some(NewRecord {
        topic: Topic::LookupsResults,
        partition,
        at_ms: result.at.as_ms(),
        key: Bytes::copy_from_slice(result.tenant_id.as_bytes()),
        value: Some(value.into()),
        headers: Headers::new(headers.into_iter().chain(trace)),
    })
}
