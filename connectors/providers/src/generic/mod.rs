//! Everybody else: senders of signed webhooks, of which nothing can be asked.

mod samples;
mod verify;

use crate::{
    capability::{Verify, samples::Samples},
    provider::{Api, Provider},
};

/// See the module.
pub struct Generic;

impl Provider for Generic {
    fn name(&self) -> &'static str {
        "other"
    }
    fn label(&self) -> &'static str {
        "other"
    }
    fn api(&self) -> &dyn Api {
        self
    }
    fn verify(&self) -> &dyn Verify {
        self
    }
    fn samples(&self) -> &dyn Samples {
        self
    }
}

impl Api for Generic {}

/// Senders whose name alone is no reason for a 404. Any other exists once it has a
/// secret or a connection.
pub const SENDERS: &[&str] = &["stripe", "pagerduty", "cloudevents", "standard-webhooks", "generic"];
