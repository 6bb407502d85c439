//! What people write of a tenant's limits: a part of
//! [`Limits`](pipeline::governance::Limits), every field optional. What is left out
//! is as the hub's configuration has it. The bounds are those of
//! [`Limits::check`](pipeline::governance::Limits::check); a test holds that they
//! agree.

use pipeline::governance::Level;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

macro_rules! forms {
    ($($(#[$about:meta])* $form:ident { $($(#[$field_about:meta])* $field:ident: $kind:ty,)* })*) => {
        $(
            $(#[$about])*
            #[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
            #[serde(rename_all = "camelCase", deny_unknown_fields)]
            pub struct $form {
                $(
                    $(#[$field_about])*
                    #[serde(skip_serializing_if = "Option::is_none")]
                    #[schemars(transform = without_format)]
                    $field: Option<$kind>,
                )*
            }
        )*
    };
}

/// Numbers are bounded by their least and most; how wide ours are is nobody's
/// business.
pub(super) fn without_format(schema: &mut Schema) {
    schema.remove("format");
}

forms! {
    /// What a tenant's agents may do.
    LimitsForm {
        /// Messages of an agent.
        messages: MessagesForm,
        /// Commands to the providers for a project.
        syncs: SyncsForm,
        /// The same text again.
        identical: IdenticalForm,
        /// Nearly the same text again.
        near_duplicates: NearDuplicatesForm,
        /// Tasks that go round in circles.
        handoffs: HandoffsForm,
        /// Tasks in which nothing moves.
        no_progress: NoProgressForm,
        /// How long an agent stays out that was cut.
        #[schemars(range(min = 0, max = 86_400_000))]
        cool_down_ms: u64,
    }

    /// So many messages an agent.
    MessagesForm {
        /// What is done about one too many.
        level: Level,
        /// How many a window holds.
        #[schemars(range(min = 1, max = 10_000))]
        limit: u32,
        /// How long a window is.
        #[schemars(range(min = 1_000, max = 604_800_000))]
        window_ms: u64,
    }

    /// So many commands a project.
    SyncsForm {
        /// From `mute` on they wait.
        level: Level,
        /// How many a window holds.
        #[schemars(range(min = 1, max = 10_000))]
        limit: u32,
        /// How long a window is.
        #[schemars(range(min = 1_000, max = 604_800_000))]
        window_ms: u64,
    }

    /// The same text by one agent.
    IdenticalForm {
        /// What is done about it.
        level: Level,
        /// Which occurrence is found.
        #[schemars(range(min = 2, max = 64))]
        occurrences: u32,
        /// Within how long.
        #[schemars(range(min = 1_000, max = 604_800_000))]
        window_ms: u64,
    }

    /// Nearly the same text by one agent.
    NearDuplicatesForm {
        /// What is done about it.
        level: Level,
        /// In how many of 64 bits alike texts differ at most.
        #[schemars(range(min = 0, max = 20))]
        distance: u32,
        /// Which of them is found.
        #[schemars(range(min = 2, max = 32))]
        count: u32,
        /// Within how long.
        #[schemars(range(min = 1_000, max = 604_800_000))]
        window_ms: u64,
        /// Texts of fewer words are not looked at.
        #[schemars(range(min = 0, max = 1_000))]
        words_min: u32,
    }

    /// Agents that hand a task round.
    HandoffsForm {
        /// What is done about it.
        level: Level,
        /// Which full circle is found.
        #[schemars(range(min = 2, max = 10))]
        cycles: u32,
        /// The longest circle, in turns.
        #[schemars(range(min = 2, max = 8))]
        turns_max: u32,
        /// Turns that are older do not count.
        #[schemars(range(min = 1_000, max = 604_800_000))]
        window_ms: u64,
    }

    /// Messages without a person's word or a change of state.
    NoProgressForm {
        /// What is done about it.
        level: Level,
        /// Which message is found.
        #[schemars(range(min = 2, max = 10_000))]
        messages: u32,
        /// After which nothing before counts.
        #[schemars(range(min = 1_000, max = 2_592_000_000_u64))]
        idle_ms: u64,
    }
}

#[cfg(test)]
mod tests {
    use pipeline::governance::{Limits, RULES};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_form_has_what_limits_have_and_bounds_it_alike() {
        let schema = schemars::schema_for!(LimitsForm).to_value();
        let mut bounds = 0;
        let mut hold = |document: &dyn Fn(Value) -> Value, field: &Value| {
            let (Some(least), Some(most)) = (field["minimum"].as_u64(), field["maximum"].as_u64()) else { return };
            bounds += 1;
            for (value, fits) in
                [(least.checked_sub(1), false), (Some(least), true), (Some(most), true), (Some(most + 1), false)]
            {
                let Some(value) = value else { continue };
                let document = document(json!(value));
                assert_eq!(Limits::default().over(&document).is_ok(), fits, "{document}");
            }
        };
        hold(&|value| json!({ "coolDownMs": value }), &schema["properties"]["coolDownMs"]);
        for (rule, _) in RULES {
            let name = schema["properties"][rule]["anyOf"][0]["$ref"].as_str().expect("a form");
            let fields =
                schema["$defs"][name.trim_start_matches("#/$defs/")]["properties"].as_object().expect("fields");
            let known = serde_json::to_value(Limits::default()).expect("a value");
            assert_eq!(fields.len(), known[rule].as_object().expect("fields").len(), "{rule}");
            for (field, schema) in fields {
                assert!(known[rule].get(field).is_some(), "{rule}.{field}");
                hold(&|value| json!({ *rule: { field: value } }), schema);
            }
        }
        assert_eq!(bounds, 16);
    }
}
