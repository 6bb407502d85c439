//! What may stand in an operation's query: one list for the document and for
//! the check.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use runtime::{
    config::is_id,
    http::problem::{FieldError, Problem},
};

/// Rows of a page, where nothing is said and at most.
pub const PAGE_ROWS: usize = 50;
/// See [`PAGE_ROWS`].
pub const PAGE_ROWS_MAX: usize = 200;

/// Characters of a text in a query, at most.
const TEXT_CHARS_MAX: usize = 256;

/// What a parameter is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any text but an empty one.
    Text,
    /// A whole number within bounds.
    Number(u64, u64),
    /// `true` or `false`.
    Truth,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// An id of the hub's.
    Id,
    /// A place in a topic: `partition.offset`.
    Place,
}

/// One parameter.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
    /// What it does, for people.
    pub about: &'static str,
}

/// A parameter that may be left out.
pub const fn param(name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param { name, kind, required: false, about }
}

/// One that may not.
pub const fn required(name: &'static str, kind: Kind, about: &'static str) -> Param {
    Param { name, kind, required: true, about }
}

/// How many rows a page has.
pub const LIMIT: Param = param("limit", Kind::Number(1, PAGE_ROWS_MAX as u64), "rows of the page; 50 unless said");
/// Where a page begins.
pub const CURSOR: Param = param("cursor", Kind::Text, "`page.next` of the page before");
/// Whose rows, for who works across tenants.
pub const TENANT: Param = param("tenantId", Kind::Id, "whose; for the role `platform` alone");

impl Param {
    /// What is wrong with a value.
    fn fault(&self, value: &str) -> Option<String> {
        match self.kind {
            Kind::Text if value.is_empty() => Some("must not be empty".to_owned()),
            Kind::Text if value.chars().count() > TEXT_CHARS_MAX || value.contains('\0') => {
                Some(format!("must not be longer than {TEXT_CHARS_MAX} characters, nor hold NUL"))
            }
            Kind::Number(min, max) => {
                let digits = value.bytes().all(|byte| byte.is_ascii_digit());
                let fits = digits && value.parse().is_ok_and(|number| (min..=max).contains(&number));
                (!fits).then(|| format!("must be a whole number from {min} to {max}"))
            }
            Kind::Truth => (!matches!(value, "true" | "false")).then(|| "must be `true` or `false`".to_owned()),
            Kind::OneOf(known) => (!known.contains(&value)).then(|| format!("must be one of {}", known.join(", "))),
            Kind::Id => (!is_id(value)).then(|| "must be an id".to_owned()),
            Kind::Place => (!is_place(value)).then(|| "must be `page.next` of the page before".to_owned()),
            Kind::Text => None,
        }
    }

    /// As the document describes it.
    pub fn described(&self) -> Value {
        let schema = match self.kind {
            Kind::Text => json!({ "type": "string", "minLength": 1, "maxLength": TEXT_CHARS_MAX }),
            Kind::Number(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
            Kind::Truth => json!({ "type": "boolean" }),
            Kind::OneOf(known) => json!({ "type": "string", "enum": known }),
            Kind::Id => json!({ "type": "string", "pattern": super::check::ID }),
            Kind::Place => json!({ "type": "string", "pattern": "^[0-9]{1,9}\\.[0-9]{1,18}$" }),
        };
        json!({ "name": self.name, "in": "query", "required": self.required, "description": self.about, "schema": schema })
    }
}

/// Two numbers, each short enough for its type.
fn is_place(value: &str) -> bool {
    let number = |text: &str, digits_max| {
        (1..=digits_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    value.split_once('.').is_some_and(|(partition, offset)| number(partition, 9) && number(offset, 18))
}

/// What a request says in its query.
#[derive(Clone, Debug, Default)]
pub struct Said(BTreeMap<&'static str, String>);

impl Said {
    /// From the query, held against what may stand in it.
    pub fn new(params: &[Param], query: &str) -> Result<Said, Problem> {
        let (mut said, mut faults) = (BTreeMap::new(), Vec::new());
        for field in udfs::form::fields(query) {
            let Ok((name, value)) = field else {
                faults.push(FieldError::new("query", "is not encoded as it should be"));
                break;
            };
            let Some(param) = params.iter().find(|param| param.name == name) else {
                faults.push(FieldError::new(name.chars().take(64).collect::<String>(), "is not known here"));
                continue;
            };
            if let Some(fault) = param.fault(&value) {
                faults.push(FieldError::new(param.name, fault));
            } else if said.insert(param.name, value.into_owned()).is_some() {
                faults.push(FieldError::new(param.name, "must not be there twice"));
            }
        }
        for param in params.iter().filter(|param| param.required) {
            if !said.contains_key(param.name) && !faults.iter().any(|fault| fault.field == param.name) {
                faults.push(FieldError::new(param.name, "is missing"));
            }
        }
        if faults.is_empty() { Ok(Said(said)) } else { Err(Problem::invalid(faults)) }
    }

    /// What is said under a name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The same, as a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Whether `true` is said.
    pub fn truth(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: &[Param] = &[
        LIMIT,
        CURSOR,
        required("state", Kind::OneOf(&["TODO", "DONE"]), ""),
        param("follow", Kind::Truth, ""),
        TENANT,
    ];

    fn fields(query: &str) -> Vec<String> {
        let Err(problem) = Said::new(PARAMS, query) else { return Vec::new() };
        let problem = serde_json::to_value(problem).expect("JSON");
        let fields = problem["errors"].as_array().into_iter().flatten();
        fields.map(|error| error["field"].as_str().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn only_what_is_known_and_fits_is_taken() {
        let said = Said::new(PARAMS, "state=TODO&limit=7&cursor=a%2Fb&follow=true").expect("all well");
        assert_eq!((said.text("state"), said.number("limit"), said.truth("follow")), (Some("TODO"), Some(7), true));
        assert_eq!(said.text("cursor"), Some("a/b"));
        assert_eq!(fields(""), ["state"]);
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=%2B1", "limit"),
            ("limit=1e2", "limit"),
            ("limit=", "limit"),
            ("cursor=", "cursor"),
            ("cursor=%00", "cursor"),
            ("follow=yes", "follow"),
            ("tenantId=_x", "tenantId"),
            ("stat=1", "stat"),
            ("state=DONE", "state"),
        ] {
            assert_eq!(fields(&format!("state=TODO&{query}")), [field], "{query}");
        }
        assert_eq!(fields("state=%FF"), ["query", "state"]);
    }
}
