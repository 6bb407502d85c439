//! Samples of what others send.

use serde_json::Value;
use udfs::signature::{NEXUS, STANDARD_WEBHOOKS, STRIPE};

use super::Generic;
use crate::{
    capability::samples::{Envelope, Fresh, Sample, Samples, set},
    samples,
};

const SAMPLES: &[Sample] = samples! {
    "stripe" "balance.available"
    "stripe" "charge.failed"
    "stripe" "invoice.paid"
    "generic" "order.shipped"
    "cloudevents" "structured"
};

impl Samples for Generic {
    fn all(&self) -> &'static [Sample] {
        SAMPLES
    }

    fn freshen(
        &self,
        sample: &Sample,
        body: &mut Value,
        fresh: &Fresh,
        (_, connection): (Option<&str>, Option<&str>),
    ) -> Result<Envelope, String> {
        let path = match connection {
            Some(connection) => format!("/api/webhooks/{}/{connection}", sample.provider),
            None => format!("/api/webhooks/{}", sample.provider),
        };
        let scheme = match sample.provider {
            "stripe" => {
                set(body, "/id", format!("evt_{}", fresh.id));
                STRIPE
            }
            "standard-webhooks" => STANDARD_WEBHOOKS,
            _ => {
                set(body, "/id", fresh.id.as_str());
                NEXUS
            }
        };
        Ok(Envelope { path, scheme, headers: Vec::new() })
    }
}
