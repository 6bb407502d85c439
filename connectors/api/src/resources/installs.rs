//! OAuth installs: an administrator's browser goes to the provider and comes
//! back, and there is a connection.

use axum::{
    http::{Method, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use pipeline::event::Time;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::pickers::{PROVIDERS_ERRORS, problem};
use crate::{
    call::Call,
    operation::{Operation, operation},
    output::{Data, Output},
    query::{Kind, Param, param},
};
use connections::install::{Back, Journey, Refused, cookie_name, installable};
use runtime::{
    auth::{Access, Gate},
    http::problem::Problem,
};

/// A link that a browser begins with.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstallLink {
    /// To be opened in a browser, once.
    url: String,
    /// Until when.
    expires_at: Time,
}

/// A browser is sent on.
pub struct SentOn(Journey);

impl Output for SentOn {
    const STATUS: StatusCode = StatusCode::FOUND;
    const MEDIA: &'static str = "text/html";

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }

    fn respond(self) -> Response {
        let Journey { location, cookie } = self.0;
        let headers = [
            (header::LOCATION, location.to_string()),
            (header::SET_COOKIE, cookie),
            (header::CACHE_CONTROL, "no-store".to_owned()),
            (header::REFERRER_POLICY, "no-referrer".to_owned()),
        ];
        (Self::STATUS, headers).into_response()
    }
}

/// What a browser shows at the end.
pub struct Shown {
    provider: String,
    name: String,
}

impl Output for Shown {
    const STATUS: StatusCode = StatusCode::OK;
    const MEDIA: &'static str = "text/html";

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }

    fn respond(self) -> Response {
        let Shown { provider, name } = self;
        // Its name is a stranger's word.
        let name: String = name.chars().take(200).flat_map(escaped).collect();
        let page = format!(
            "<!doctype html><meta charset=\"utf-8\"><title>Connected</title>\
             <p>Connected to {provider}: {name}. This window can be closed.</p>"
        );
        let cookie = format!("{}=; Path=/oauth; Max-Age=0; HttpOnly; SameSite=Lax", cookie_name(&provider));
        let headers = [
            (header::SET_COOKIE, cookie),
            (header::CACHE_CONTROL, "no-store".to_owned()),
            (header::REFERRER_POLICY, "no-referrer".to_owned()),
            (header::CONTENT_SECURITY_POLICY, "default-src 'none'".to_owned()),
        ];
        (Self::STATUS, headers, Html(page)).into_response()
    }
}

fn escaped(char: char) -> Vec<char> {
    match char {
        '<' => "&lt;".chars().collect(),
        '>' => "&gt;".chars().collect(),
        '&' => "&amp;".chars().collect(),
        '"' => "&quot;".chars().collect(),
        char => vec![char],
    }
}

const TICKET: Param = param("ticket", Kind::Text, "of a link that was asked for; else a bearer token is needed");

/// What providers put behind their callbacks' addresses.
const BACK: &[Param] = &[
    param("state", Kind::Text, "as it was sent"),
    param("code", Kind::Text, "what is exchanged for a token"),
    param("error", Kind::Text, "why there is no code"),
    param("error_description", Kind::Text, "the same in words"),
    param("error_uri", Kind::Text, "a page about it"),
    param("installation_id", Kind::Text, "GitHub's; not looked at"),
    param("setup_action", Kind::Text, "GitHub's; not looked at"),
    param("iss", Kind::Text, "who answers; not looked at"),
];

/// `/oauth/{provider}`
pub fn operations() -> Vec<Operation> {
    const INSTALL: &str = "/oauth/{provider}/install";
    const CALLBACK: &str = "/oauth/{provider}/callback";
    let more = &[
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::CONFLICT,
        StatusCode::UNPROCESSABLE_ENTITY,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
    ];
    vec![
        operation(Method::POST, INSTALL, Access::ADMINS, "Ask for a link that installs the hub at a provider", invite)
            .errors(PROVIDERS_ERRORS),
        operation(Method::GET, INSTALL, Access::Open, "Begin an install, in a browser", begin)
            .params(&[TICKET])
            .errors(more),
        operation(Method::GET, CALLBACK, Access::Open, "Come back from a provider", finish).params(BACK).errors(more),
    ]
}

/// The provider of the address, if it is one that can be installed.
fn provider(call: &Call) -> Result<&'static str, Problem> {
    let named = call.part("provider");
    let known = installable().find(|known| *known == named);
    let all = || installable().collect::<Vec<_>>().join(", ");
    known.ok_or_else(|| Problem::not_found(format!("there are installs for {}", all())))
}

fn refused(call: &Call, refused: Refused) -> Problem {
    let detail = refused.to_string();
    match refused {
        Refused::State => Problem::new(StatusCode::BAD_REQUEST, "invalid_state", detail),
        Refused::Denied(_) => Problem::new(StatusCode::BAD_REQUEST, "access_denied", detail),
        Refused::Halted(error) => problem(call, &error),
    }
}

async fn invite(call: Call, (): ()) -> Result<Data<InstallLink>, Problem> {
    let link = call.desk.connections.invite(&call.tenant, provider(&call)?).await;
    let link = link.map_err(|error| problem(&call, &error))?;
    Ok(Data(InstallLink { url: link.url, expires_at: link.until }))
}

async fn begin(call: Call, (): ()) -> Result<SentOn, Problem> {
    let connections = &call.desk.connections;
    if let Some(ticket) = call.said.text("ticket") {
        let begun = connections.begin_with_ticket(provider(&call)?, ticket).await;
        return begun.map(SentOn).map_err(|reason| refused(&call, reason));
    }
    let who = call.desk.gate.principal(&call.headers)?;
    Gate::admit(Access::ADMINS, &who)?;
    let begun = connections.begin(&who.tenant_id, provider(&call)?).await;
    begun.map(SentOn).map_err(|error| problem(&call, &error))
}

async fn finish(call: Call, (): ()) -> Result<Shown, Problem> {
    let provider = provider(&call)?;
    let name = cookie_name(provider);
    let cookies = call.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let browser = pairs.find(|(known, _)| *known == name).map(|(_, value)| value);
    let back = Back {
        provider,
        state: call.said.text("state"),
        code: call.said.text("code"),
        error: call.said.text("error"),
        browser,
    };
    let installed = call.desk.connections.finish(back).await.map_err(|reason| refused(&call, reason))?;
    Ok(Shown { provider: provider.to_owned(), name: installed.name })
}
