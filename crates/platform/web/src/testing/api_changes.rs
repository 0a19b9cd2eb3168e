//! Detects changes of an OpenAPI document that break existing clients.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The breaking changes between two OpenAPI documents, one a line, as in `` `GET /things` 200 `title` is gone ``.
///
/// Breaking is what a generated client of the older document meets: an operation, a status of success or a field of an
/// answer that is gone, another type, a field or parameter that is newly required, and a value that is no longer taken.
pub fn breaking_changes(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Changes {
        old,
        new,
        lines: BTreeSet::new(),
    };
    for (path, operations) in members(&old["paths"]) {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            let name = format!("`{} {path}`", method.to_uppercase());
            match new["paths"][path].get(method) {
                Some(present) => found.operation(&name, operation, present),
                None => found.add(&name, "is gone"),
            }
        }
    }
    found.lines.into_iter().collect()
}

struct Changes<'d> {
    old: &'d Value,
    new: &'d Value,
    lines: BTreeSet<String>,
}

/// Who writes a value: what a client sends may be required more, what it reads may be there less.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Writer {
    Client,
    Service,
}

impl Changes<'_> {
    fn add(&mut self, place: &str, change: &str) {
        self.lines.insert(format!("{place} {change}"));
    }

    fn operation(&mut self, name: &str, old: &Value, new: &Value) {
        if old["operationId"] != new["operationId"] {
            self.add(name, "has another operationId");
        }
        let parameter = |operation: &Value, wanted: &Value| {
            let all = operation["parameters"].as_array().into_iter().flatten();
            let mut wanted = all.filter(|one| one["name"] == wanted["name"] && one["in"] == wanted["in"]);
            wanted.next().cloned()
        };
        for one in old["parameters"].as_array().into_iter().flatten() {
            let place = format!("{name} parameter `{}`", text(&one["name"]));
            match parameter(new, one) {
                Some(present) => self.schema(&place, &one["schema"], &present["schema"], Writer::Client),
                None => self.add(&place, "is gone"),
            }
        }
        for one in new["parameters"].as_array().into_iter().flatten() {
            let was_required = parameter(old, one).is_some_and(|old| old["required"] == true);
            if one["required"] == true && !was_required {
                self.add(
                    &format!("{name} parameter `{}`", text(&one["name"])),
                    "is required",
                );
            }
        }
        self.contents(
            &format!("{name} body"),
            &old["requestBody"],
            &new["requestBody"],
            Writer::Client,
        );
        for (status, answer) in members(&old["responses"]).filter(|(status, _)| status.starts_with('2')) {
            let place = format!("{name} {status}");
            match new["responses"].get(status) {
                Some(present) => self.contents(&place, answer, present, Writer::Service),
                None => self.add(&place, "is gone"),
            }
        }
    }

    fn contents(&mut self, place: &str, old: &Value, new: &Value, writer: Writer) {
        for (kind, content) in members(&old["content"]) {
            match new["content"].get(kind) {
                Some(present) => self.schema(place, &content["schema"], &present["schema"], writer),
                None => self.add(place, &format!("is no longer {kind}")),
            }
        }
    }

    fn schema(&mut self, place: &str, old: &Value, new: &Value, writer: Writer) {
        let (old, new) = (resolved(self.old, old).clone(), resolved(self.new, new).clone());
        if old["type"] != new["type"] {
            return self.add(place, &format!("was {} and is {}", old["type"], new["type"]));
        }
        let values = |schema: &Value| -> BTreeSet<String> {
            schema["enum"]
                .as_array()
                .into_iter()
                .flatten()
                .map(Value::to_string)
                .collect()
        };
        let (from, to) = match writer {
            Writer::Client => (values(&old), values(&new)),
            Writer::Service => (values(&new), values(&old)),
        };
        if !to.is_empty() && !from.is_subset(&to) {
            self.add(place, "has other values");
        }
        if old.get("items").is_some() {
            self.schema(&format!("{place}[]"), &old["items"], &new["items"], writer);
        }
        let required = |schema: &Value, name: &str| {
            schema["required"]
                .as_array()
                .is_some_and(|names| names.iter().any(|one| one == name))
        };
        for (name, property) in members(&old["properties"]) {
            let place = format!("{place} `{name}`");
            match new["properties"].get(name) {
                Some(present) => self.schema(&place, property, present, writer),
                None => self.add(&place, "is gone"),
            }
            if writer == Writer::Service && required(&old, name) && !required(&new, name) {
                self.add(&place, "may be absent");
            }
        }
        for (name, _) in members(&new["properties"]) {
            if writer == Writer::Client && required(&new, name) && !required(&old, name) {
                self.add(&format!("{place} `{name}`"), "is required");
            }
        }
    }
}

fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str().and_then(|place| place.strip_prefix('#')) {
        Some(place) => document.pointer(place).unwrap_or(&Value::Null),
        None => schema,
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({ "paths": { "/things": {
            "get": { "operationId": "things_list",
                "parameters": [{ "name": "sort", "in": "query", "schema": { "type": "string", "enum": ["a", "b"] } }],
                "responses": { "200": { "content": { "application/json": { "schema": {
                    "type": "array", "items": { "$ref": "#/components/schemas/Thing" } } } } }, "422": {} } },
            "post": { "operationId": "things_create",
                "requestBody": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/New" } } } },
                "responses": { "201": {} } } } },
          "components": { "schemas": {
            "Thing": { "type": "object", "required": ["id"], "properties": { "id": { "type": "string" }, "kind": { "type": "string", "enum": ["x"] } } },
            "New": { "type": "object", "required": ["title"], "properties": { "title": { "type": "string" }, "more": { "type": "string" } } } } } })
    }

    #[test]
    fn each_way_to_break_a_client_is_found() {
        let breaks = [
            (
                "/paths/~1things/get/operationId",
                json!("list"),
                "`GET /things` has another operationId",
            ),
            (
                "/paths/~1things/post",
                Value::Null,
                "`POST /things` has another operationId",
            ),
            (
                "/paths/~1things/get/parameters",
                json!([]),
                "`GET /things` parameter `sort` is gone",
            ),
            (
                "/paths/~1things/get/parameters/0/schema/enum",
                json!(["a"]),
                "`GET /things` parameter `sort` has other values",
            ),
            (
                "/paths/~1things/get/parameters/0/required",
                json!(true),
                "`GET /things` parameter `sort` is required",
            ),
            (
                "/paths/~1things/post/responses",
                json!({}),
                "`POST /things` 201 is gone",
            ),
            (
                "/components/schemas/Thing/properties/id/type",
                json!("integer"),
                "`GET /things` 200[] `id` was \"string\" and is \"integer\"",
            ),
            (
                "/components/schemas/Thing/required",
                json!([]),
                "`GET /things` 200[] `id` may be absent",
            ),
            (
                "/components/schemas/Thing/properties/kind/enum",
                json!(["x", "y"]),
                "`GET /things` 200[] `kind` has other values",
            ),
            (
                "/components/schemas/Thing/properties",
                json!({ "id": { "type": "string" } }),
                "`GET /things` 200[] `kind` is gone",
            ),
            (
                "/components/schemas/New/required",
                json!(["title", "more"]),
                "`POST /things` body `more` is required",
            ),
            (
                "/components/schemas/New/properties/title/type",
                json!("integer"),
                "`POST /things` body `title` was \"string\" and is \"integer\"",
            ),
        ];
        for (place, value, change) in breaks {
            let mut new = document();
            match new.pointer_mut(place) {
                Some(found) => *found = value,
                None => new["paths"]["/things"]["get"]["parameters"][0]["required"] = value,
            }
            let found = breaking_changes(&document(), &new);
            assert!(found.iter().any(|line| line == change), "{change}: {found:?}");
        }
        let mut new = document();
        new["paths"].as_object_mut().unwrap().remove("/things");
        assert_eq!(
            breaking_changes(&document(), &new),
            ["`GET /things` is gone", "`POST /things` is gone"]
        );
    }

    #[test]
    fn what_clients_do_not_notice_is_not_found() {
        let mut new = document();
        new["paths"]["/more"] = new["paths"]["/things"].clone();
        new["paths"]["/things"]["get"]["responses"]["429"] = json!({});
        new["paths"]["/things"]["get"]["parameters"][0]["schema"]["enum"] = json!(["a", "b", "c"]);
        new["components"]["schemas"]["Thing"]["properties"]["more"] = json!({ "type": "string" });
        new["components"]["schemas"]["New"]["required"] = json!([]);
        assert_eq!(breaking_changes(&document(), &new), [""; 0]);
    }
}
