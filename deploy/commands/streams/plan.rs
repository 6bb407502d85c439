//! What there is and what should be come in, what to do goes out.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::{
    NewPipeline,
    api::{Pipeline, Registered},
    files::{Function, Functions, Stream},
};

/// What should be.
pub struct Wanted<'a> {
    pub streams: &'a [Stream],
    pub functions: &'a Functions,
    /// Of every pipeline; none leaves those that there are as they are.
    pub parallelism: Option<u64>,
    /// The same.
    pub checkpoint_interval_micros: Option<u64>,
}

/// One thing to do, or to leave as it is.
pub enum Step<'a> {
    KeepFunction { function: &'a Function },
    AddFunction { function: &'a Function },
    ReplaceFunction { id: String, function: &'a Function },
    KeepPipeline { id: String, name: String },
    AddPipeline { new: NewPipeline<'a> },
    ReplacePipeline { id: String, new: NewPipeline<'a> },
    TunePipeline { id: String, name: String, change: Value },
}

/// The steps, functions first: what is registered can be called.
pub fn decide<'a>(wanted: &Wanted<'a>, functions: &[Registered], pipelines: &[Pipeline]) -> Result<Vec<Step<'a>>> {
    let mut steps = Vec::new();
    for function in &wanted.functions.0 {
        steps.push(match functions.iter().find(|there| there.name == function.name) {
            None => Step::AddFunction { function },
            Some(there) if there.definition == function.definition => Step::KeepFunction { function },
            Some(there) => Step::ReplaceFunction { id: there.id.clone(), function },
        });
    }
    for stream in wanted.streams {
        let those: Vec<_> = pipelines.iter().filter(|there| there.name == stream.name).collect();
        steps.push(match those[..] {
            [] => Step::AddPipeline { new: wanted.pipeline(stream, None) },
            [there] => against(wanted, stream, there),
            _ => bail!(
                "Arroyo has {} pipelines named {}; stop and delete all but one, and try again",
                those.len(),
                stream.name
            ),
        });
    }
    Ok(steps)
}

fn against<'a>(wanted: &Wanted<'a>, stream: &'a Stream, there: &Pipeline) -> Step<'a> {
    let calls = wanted.functions.called_by(stream);
    let same_calls = there.udfs.iter().map(|udf| udf.definition.as_str()).eq(calls.iter().copied());
    if there.query != stream.query || !same_calls {
        return Step::ReplacePipeline { id: there.id.clone(), new: wanted.pipeline(stream, Some(there)) };
    }
    let mut change = json!({});
    if let Some(parallelism) = wanted.parallelism
        && there.graph.nodes.iter().any(|node| u64::from(node.parallelism) != parallelism)
    {
        change["parallelism"] = parallelism.into();
    }
    if let Some(micros) = wanted.checkpoint_interval_micros
        && there.checkpoint_interval_micros != micros
    {
        change["checkpoint_interval_micros"] = micros.into();
    }
    let (id, name) = (there.id.clone(), there.name.clone());
    if change == json!({}) { Step::KeepPipeline { id, name } } else { Step::TunePipeline { id, name, change } }
}

impl<'a> Wanted<'a> {
    /// A pipeline as it should be; one that replaces another takes its settings.
    fn pipeline(&self, stream: &'a Stream, old: Option<&Pipeline>) -> NewPipeline<'a> {
        let widest = old.and_then(|old| old.graph.nodes.iter().map(|node| u64::from(node.parallelism)).max());
        NewPipeline {
            name: stream.name.clone(),
            stream,
            definitions: self.functions.called_by(stream),
            parallelism: self.parallelism.or(widest).unwrap_or(1),
            checkpoint_interval_micros: self
                .checkpoint_interval_micros
                .or_else(|| old.map(|old| old.checkpoint_interval_micros)),
        }
    }
}

impl<'a> Step<'a> {
    /// What kind of thing it is about.
    pub fn kind(&self) -> &'static str {
        match self {
            Step::KeepFunction { .. } | Step::AddFunction { .. } | Step::ReplaceFunction { .. } => "function",
            _ => "pipeline",
        }
    }

    /// Which.
    pub fn name(&self) -> &str {
        match self {
            Step::KeepFunction { function }
            | Step::AddFunction { function }
            | Step::ReplaceFunction { function, .. } => &function.name,
            Step::KeepPipeline { name, .. } | Step::TunePipeline { name, .. } => name,
            Step::AddPipeline { new } | Step::ReplacePipeline { new, .. } => &new.name,
        }
    }

    /// What was done, or would be.
    pub fn did(&self, is_only_said: bool) -> String {
        let word = match self {
            Step::KeepFunction { .. } | Step::KeepPipeline { .. } => return "unchanged".to_owned(),
            Step::AddFunction { .. } | Step::AddPipeline { .. } => "added",
            Step::ReplaceFunction { .. } | Step::ReplacePipeline { .. } => "replaced",
            Step::TunePipeline { .. } => "changed",
        };
        let more = match self {
            Step::TunePipeline { change, .. } => format!(": {change}"),
            _ => String::new(),
        };
        if is_only_said { format!("would be {word}{more}") } else { format!("{word}{more}") }
    }

    /// The function whose text is new to Arroyo.
    pub fn new_function(&self) -> Option<&'a Function> {
        match self {
            Step::AddFunction { function } | Step::ReplaceFunction { function, .. } => Some(function),
            _ => None,
        }
    }

    /// The stream whose text is new to Arroyo.
    pub fn new_stream(&self) -> Option<&'a Stream> {
        match self {
            Step::AddPipeline { new } | Step::ReplacePipeline { new, .. } => Some(new.stream),
            _ => None,
        }
    }
}
