//! An operation of the API: where it is, who may use it, what it takes and
//! gives, and what serves it. The router and `/openapi.json` are made from the
//! same list of them, so that neither can say what the other does not.

use std::{future::Future, pin::Pin, sync::Arc};

use axum::{
    extract::{RawPathParams, Request},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{MethodFilter, MethodRouter, on},
};
use pipeline::event::{Act, Deed, Doer, Role};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};

use super::{
    Desk, Services,
    call::{Call, tenant_of},
    input::{Input, Media, checked},
    output::Output,
    query::{Param, Said, TENANT},
};
use runtime::{
    auth::{Access, Gate, LOCAL, Principal, address_of},
    http::problem::Problem,
    identity::random_hex,
    kill_switch::switch::act_record,
};
use store::asked;

type Answering = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;
type Serve = Arc<dyn Fn(Call, Option<Value>) -> Answering + Send + Sync>;
type MakeSchema = fn(&mut SchemaGenerator) -> Option<Schema>;

/// Who serves an operation.
#[derive(Clone)]
pub enum Served {
    /// The role `api`.
    Desk(Serve),
    /// Every process, also one without that role.
    Always(Box<MethodRouter<Arc<Services>>>),
    /// The role `ingest`, by routes of its own.
    Ingest,
}

/// The body that an operation takes.
#[derive(Clone, Copy)]
pub struct Taken {
    /// How it is written.
    pub media: Media,
    /// Whether it may be left out.
    pub optional: bool,
    /// What it looks like.
    pub schema: MakeSchema,
}

/// The answer that an operation gives when all is well.
#[derive(Clone, Copy)]
pub struct Given {
    /// Its status.
    pub status: StatusCode,
    /// Its content type.
    pub media: &'static str,
    /// What it looks like.
    pub schema: MakeSchema,
}

/// One operation.
#[derive(Clone)]
pub struct Operation {
    /// Its method.
    pub method: Method,
    /// Its address.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What may stand in its query.
    pub params: Vec<Param>,
    /// The body it takes.
    pub taken: Option<Taken>,
    /// The answer it gives.
    pub given: Given,
    /// A body that would do.
    pub example: Option<Value>,
    /// Errors of its own, beside those of all.
    pub errors: &'static [StatusCode],
    /// Who serves it.
    pub served: Served,
    /// Whether it is not about one tenant.
    pub over_all: bool,
    /// Whether it writes into the audit trail by itself, or has nothing to write.
    pub keeps_own_trail: bool,
    /// Whether an agent that uses it acts, and must be allowed to now.
    pub acts: bool,
}

/// An operation of the role `api`. What it takes and gives is read from the
/// handler's type.
pub fn operation<I, O, F>(
    method: Method,
    path: &'static str,
    access: Access,
    summary: &'static str,
    handler: impl Fn(Call, I) -> F + Send + Sync + Copy + 'static,
) -> Operation
where
    I: Input,
    O: Output,
    F: Future<Output = Result<O, Problem>> + Send + 'static,
{
    let serve: Serve =
        Arc::new(move |call, body| Box::pin(async move { Ok(handler(call, I::take(body)?).await?.respond()) }));
    let taken = Taken { media: I::MEDIA, optional: I::OPTIONAL, schema: I::schema };
    let acts = method != Method::GET && access.roles().contains(&Role::Agent);
    Operation {
        method,
        path,
        access,
        summary,
        // Whoever works across tenants names the tenant there.
        params: if access == Access::Open { Vec::new() } else { vec![TENANT] },
        taken: (I::MEDIA != Media::Absent).then_some(taken),
        given: Given { status: O::STATUS, media: O::MEDIA, schema: |generator| Some(O::schema(generator)) },
        example: None,
        errors: &[],
        served: Served::Desk(serve),
        over_all: false,
        keeps_own_trail: false,
        acts,
    }
}

/// An operation that is served elsewhere, and only described here.
pub fn described(method: Method, path: &'static str, summary: &'static str, given: Given, served: Served) -> Operation {
    Operation {
        method,
        path,
        access: Access::Open,
        summary,
        params: Vec::new(),
        taken: None,
        given,
        example: None,
        errors: &[],
        served,
        over_all: true,
        keeps_own_trail: true,
        acts: false,
    }
}

impl Operation {
    /// With these in its query.
    pub fn params(mut self, params: &[Param]) -> Self {
        self.params.extend_from_slice(params);
        self
    }

    /// Not for one tenant: nobody can be named.
    pub fn over_all(mut self) -> Self {
        self.params.retain(|param| param.name != TENANT.name);
        self.over_all = true;
        self
    }

    /// One that says by itself in the audit trail what it did.
    pub fn keeps_own_trail(mut self) -> Self {
        self.keeps_own_trail = true;
        self
    }

    /// One that changes nothing although it is no GET, or asks by itself whether
    /// an agent may act.
    pub fn no_act(mut self) -> Self {
        self.acts = false;
        self
    }

    /// With a body that would do.
    pub fn example(mut self, example: Value) -> Self {
        self.example = Some(example);
        self
    }

    /// With errors of its own.
    pub fn errors(mut self, errors: &'static [StatusCode]) -> Self {
        self.errors = errors;
        self
    }

    /// The route of an operation of the role `api`.
    pub fn route(self, desk: Arc<Desk>, schemas: Arc<Schemas>) -> Option<(&'static str, MethodRouter)> {
        let Served::Desk(serve) = self.served.clone() else { return None };
        let filter = MethodFilter::try_from(self.method.clone()).ok()?;
        let path = self.path;
        let schema = schemas.of(&self);
        let this = Arc::new(self);
        let handler = move |params: RawPathParams, request: Request| {
            let (this, desk, serve) = (Arc::clone(&this), Arc::clone(&desk), Arc::clone(&serve));
            let (schemas, schema) = (Arc::clone(&schemas), schema.clone());
            async move {
                let held = Held { schema: schema.as_deref(), definitions: &schemas.definitions };
                let answered = this.answer(desk, serve, held, params, request).await;
                answered.unwrap_or_else(IntoResponse::into_response)
            }
        };
        Some((path, on(filter, handler)))
    }

    async fn answer(
        &self,
        desk: Arc<Desk>,
        serve: Serve,
        held: Held<'_>,
        params: RawPathParams,
        request: Request,
    ) -> Result<Response, Problem> {
        let (head, body) = request.into_parts();
        let checks = async {
            let who = match self.access {
                Access::Open => Principal::nobody(),
                access => {
                    let who = desk.gate.principal(&head.headers)?;
                    // The local administrator is this machine's own.
                    if who.client_id != LOCAL {
                        desk.buckets.take(&who.client_id, desk.clock.now_ms()).map_err(too_many)?;
                    }
                    Gate::admit(access, &who)?;
                    who
                }
            };
            let said = Said::new(&self.params, head.uri.query().unwrap_or_default())?;
            let tenant = if self.over_all { who.tenant_id.clone() } else { tenant_of(&desk, &who, &said).await? };
            Ok((who, said, tenant))
        };
        let (who, said, tenant) = match checks.await {
            Ok(passed) => passed,
            Err(problem) => {
                runtime::http::body::abandon(body);
                return Err(problem);
            }
        };
        let media = self.taken.map_or(Media::Absent, |taken| taken.media);
        let body = desk.bodies.read(media, &head.headers, body).await?;
        let body = checked(media, held.schema, held.definitions, body)?;
        let address = address_of(&head.extensions, &head.headers, &desk.trusted_proxies);
        let path = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let call = Call { desk, who, tenant, said, headers: head.headers, address, path };
        let reads = matches!(self.method, Method::GET | Method::HEAD);
        if reads || self.keeps_own_trail || self.access == Access::Open {
            return serve(call, body).await;
        }
        let (act, desk) = (self.act(&call), Arc::clone(&call.desk));
        let agent = (self.acts && call.who.role == Role::Agent).then(|| call.who.subject.clone());
        let tenant = call.tenant.clone();
        let served = async {
            match &agent {
                Some(agent) => desk.acting(&tenant, agent, serve(call, body)).await,
                None => serve(call, body).await,
            }
        };
        let (answered, was_written) = asked(act.clone(), served).await;
        if answered.is_ok() && !was_written && !self.access.roles().contains(&Role::Agent) {
            desk.note(&act).await;
        }
        answered
    }

    /// What the audit trail says of a request that changes something.
    fn act(&self, call: &Call) -> Act {
        let who = &call.who;
        let kind = self.path.split('/').find(|part| !matches!(*part, "" | "api" | "admin")).unwrap_or_default();
        let id = Some(call.id().to_owned()).filter(|id| !id.is_empty());
        Act {
            id: format!("aud_{}", random_hex()),
            tenant_id: call.tenant.clone(),
            action: format!("{} {}", self.method, self.path),
            outcome: "done".to_owned(),
            actor: Doer {
                kind: if who.role == Role::Agent { "agent" } else { "client" }.to_owned(),
                id: Some(who.client_id.clone()),
                role: Some(who.role.name().to_owned()),
            },
            agent_id: id.clone().filter(|_| kind == "agents"),
            task_id: id.clone().filter(|_| kind == "tasks"),
            project_id: id.clone().filter(|_| kind == "projects"),
            subject: Deed { kind: kind.to_owned(), id },
            at: call.now(),
            trace_id: Some(call.trace_id()),
            ..Act::default()
        }
    }
}

impl Desk {
    /// Writes into the audit trail what no unit of work has written there.
    async fn note(&self, act: &Act) {
        let record = act_record(act, self.log.partitions());
        if let Err(error) = self.log.append(vec![record]).await {
            let (tenant, action) = (&act.tenant_id, &act.action);
            tracing::error!(tenant, action, %error, "an act could not be written into the audit trail");
        }
    }
}

struct Held<'a> {
    schema: Option<&'a Value>,
    definitions: &'a Map<String, Value>,
}

fn too_many(seconds: u64) -> Problem {
    let detail = "this client asks too often";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail).retry_after(seconds)
}

/// The schemas of all operations, with what they refer to.
pub struct Schemas {
    bodies: hashbrown::HashMap<(Method, &'static str), Arc<Value>>,
    answers: hashbrown::HashMap<(Method, &'static str), Value>,
    /// What the schemas refer to.
    pub definitions: Map<String, Value>,
}

impl Schemas {
    /// Of a list of operations.
    pub fn new(operations: &[Operation]) -> Self {
        let mut settings = schemars::generate::SchemaSettings::draft2020_12();
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        let mut generator = settings.into_generator();
        let (mut bodies, mut answers) = (hashbrown::HashMap::new(), hashbrown::HashMap::new());
        for operation in operations {
            let key = (operation.method.clone(), operation.path);
            if let Some(schema) = operation.taken.and_then(|taken| (taken.schema)(&mut generator)) {
                bodies.insert(key.clone(), Arc::new(schema.to_value()));
            }
            if let Some(schema) = (operation.given.schema)(&mut generator) {
                answers.insert(key, schema.to_value());
            }
        }
        let definitions = generator.take_definitions(true).into_iter().collect();
        Schemas { bodies, answers, definitions }
    }

    /// The schema of an operation's body.
    pub fn of(&self, operation: &Operation) -> Option<Arc<Value>> {
        self.bodies.get(&(operation.method.clone(), operation.path)).cloned()
    }

    /// The schema of its answer.
    pub fn given(&self, operation: &Operation) -> Option<&Value> {
        self.answers.get(&(operation.method.clone(), operation.path))
    }
}
