//! An operation of an OpenAPI document.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::Value;

use super::sample;

/// One operation, with what a valid request to it contains.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) method: Method,
    /// As in `/things/{thing_id}`.
    pub(super) path: String,
    pub(super) body: Option<Value>,
    /// Fields of the body that have the id of something, and the address of the list that it is in.
    references: Vec<(String, String)>,
    statuses: Vec<u16>,
    parameters: Vec<Parameter>,
}

#[derive(Clone, Debug)]
struct Parameter {
    name: String,
    place: String,
    is_required: bool,
    sample: Value,
}

/// The operations of a document.
pub(super) fn all(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, operations)| {
        let operations = operations.as_object().into_iter().flatten();
        operations.map(move |(method, operation)| Operation::new(document, path, method, operation))
    });
    operations.collect()
}

impl Operation {
    fn new(document: &Value, path: &str, method: &str, operation: &Value) -> Self {
        let media_types = operation["requestBody"]["content"].as_object();
        let body = media_types.and_then(|types| types.values().next());
        let statuses = operation["responses"].as_object().into_iter().flatten();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let parameters = parameters.map(|parameter| Parameter {
            name: parameter["name"].as_str().unwrap_or_default().to_owned(),
            place: parameter["in"].as_str().unwrap_or_default().to_owned(),
            is_required: parameter["required"] == true,
            sample: sample::of(document, &parameter["schema"]),
        });
        Self {
            method: method
                .to_uppercase()
                .parse()
                .expect("the document has HTTP methods"),
            path: path.to_owned(),
            body: body.map(|body| sample::of(document, &body["schema"])),
            references: body.map_or_else(Vec::new, |body| sample::references(document, &body["schema"])),
            statuses: statuses.filter_map(|(status, _)| status.parse().ok()).collect(),
            parameters: parameters.collect(),
        }
    }

    /// With the ids of what was made in the fields of the body that refer to it.
    pub(super) fn referring(&self, places: &BTreeMap<String, String>) -> Self {
        let mut referring = self.clone();
        for (field, list) in &self.references {
            let made = places.iter().find(|(path, _)| {
                path.rsplit_once("/{")
                    .is_some_and(|(of_list, _)| of_list.ends_with(list))
            });
            let id = made.and_then(|(_, place)| place.rsplit('/').next());
            if let (Some(body), Some(id)) = (&mut referring.body, id) {
                body[field] = id.into();
            }
        }
        referring
    }

    /// As in `GET /things`.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Each status that the document names, with the operation.
    pub(super) fn promises(&self) -> impl Iterator<Item = (String, u16)> {
        self.statuses.iter().map(|status| (self.name(), *status))
    }

    pub(super) fn names(&self, status: u16) -> bool {
        self.statuses.contains(&status)
    }

    pub(super) fn has_body(&self) -> bool {
        self.body.is_some()
    }

    pub(super) fn deletes(&self) -> bool {
        self.method == Method::DELETE
    }

    /// Whether requests may have an `Idempotency-Key`.
    pub(super) fn is_keyed(&self) -> bool {
        self.takes("header", "idempotency-key")
    }

    pub(super) fn takes(&self, place: &str, name: &str) -> bool {
        let mut parameters = self.parameters.iter();
        parameters.any(|parameter| parameter.place == place && parameter.name.eq_ignore_ascii_case(name))
    }

    pub(super) fn has(&self, place: &str) -> bool {
        self.parameters.iter().any(|parameter| parameter.place == place)
    }

    /// Whether this is an operation on one of the things that the other one makes.
    pub(super) fn is_of_one_made_by(&self, other: &Self) -> bool {
        let part = self
            .path
            .strip_prefix(&other.path)
            .and_then(|rest| rest.strip_prefix("/{"));
        part.is_some_and(|part| !part.contains('/'))
    }

    /// Whether everything in its path was made.
    pub(super) fn is_reachable(&self, places: &BTreeMap<String, String>) -> bool {
        !self.with_places(places).contains('{')
    }

    /// The path to what was made, and otherwise to nothing, with the parameters that the query must have.
    pub(super) fn address(&self, places: &BTreeMap<String, String>) -> String {
        let mut address = self.with_places(places);
        for parameter in self
            .parameters
            .iter()
            .filter(|parameter| parameter.place == "path")
        {
            address = address.replace(&format!("{{{}}}", parameter.name), &text(&parameter.sample));
        }
        let query = self
            .parameters
            .iter()
            .filter(|parameter| parameter.place == "query" && parameter.is_required);
        let query = query.map(|parameter| (&*parameter.name, text(&parameter.sample)));
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(query)
            .finish();
        match query.is_empty() {
            true => address,
            false => format!("{address}?{query}"),
        }
    }

    /// The path with something in its last variable part that is not UTF-8, which no type is read from.
    pub(super) fn malformed_address(&self) -> String {
        let (before, rest) = self.path.rsplit_once('{').unwrap_or((&self.path, ""));
        let after = rest.split_once('}').map_or("", |(_, after)| after);
        let before = Self {
            path: before.to_owned(),
            ..self.clone()
        };
        format!("{}%FF{after}", before.address(&BTreeMap::new()))
    }

    fn with_places(&self, places: &BTreeMap<String, String>) -> String {
        let known = places.iter().filter(|(path, _)| {
            let rest = self.path.strip_prefix(path.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        match known.max_by_key(|(path, _)| path.len()) {
            Some((path, place)) => self.path.replacen(path.as_str(), place, 1),
            None => self.path.clone(),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
