//! A value that a schema allows.

use serde_json::{Map, Value, json};

/// A value of a schema: what it has as its example, or the simplest one. Text of a pattern is a word.
pub(super) fn of(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let place = reference.trim_start_matches('#');
        return document
            .pointer(place)
            .map_or(Value::Null, |schema| of(document, schema));
    }
    let examples = [
        &schema["example"],
        &schema["examples"][0],
        &schema["enum"][0],
        &schema["const"],
    ];
    if let Some(example) = examples.into_iter().find(|example| !example.is_null()) {
        return example.clone();
    }
    for choice in ["oneOf", "anyOf"] {
        let mut choices = schema[choice].as_array().into_iter().flatten();
        if let Some(chosen) = choices.find(|chosen| chosen["type"] != "null") {
            return of(document, chosen);
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let parts = parts
            .iter()
            .filter_map(|part| of(document, part).as_object().cloned());
        return Value::Object(parts.flatten().collect());
    }
    match kind(schema) {
        "object" => object(document, schema),
        "array" => json!([of(document, &schema["items"])]),
        "boolean" => json!(false),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        _ => json!(text(schema)),
    }
}

/// The fields of an object that refer to something else, with the address of its list: `x-references`.
pub(super) fn references(document: &Value, schema: &Value) -> Vec<(String, String)> {
    let place = schema["$ref"]
        .as_str()
        .unwrap_or_default()
        .trim_start_matches('#');
    let properties = document
        .pointer(place)
        .and_then(|schema| schema["properties"].as_object());
    let referring = properties.into_iter().flatten().filter_map(|(name, schema)| {
        let list = schema["x-references"].as_str()?;
        Some((name.clone(), list.to_owned()))
    });
    referring.collect()
}

fn kind(schema: &Value) -> &str {
    let of_many = schema["type"].as_array().into_iter().flatten();
    let mut kinds = of_many.chain([&schema["type"]]).filter_map(Value::as_str);
    kinds.find(|kind| *kind != "null").unwrap_or_default()
}

/// All properties: a change needs one of its own.
fn object(document: &Value, schema: &Value) -> Value {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let properties = properties.map(|(name, schema)| (name.clone(), of(document, schema)));
    Value::Object(properties.collect::<Map<_, _>>())
}

fn text(schema: &Value) -> String {
    let word = match schema["format"].as_str().unwrap_or_default() {
        "uuid" => "0198f2f1-b1c2-7c2a-9d0f-3f6f4f1f2a3b",
        "date-time" => "2026-01-31T12:00:00Z",
        "date" => "2026-01-31",
        "email" => "sample@example.com",
        "uri" => "https://example.com/",
        _ => "sample",
    };
    let shortest = schema["minLength"]
        .as_u64()
        .and_then(|length| usize::try_from(length).ok());
    format!("{word:x<width$}", width = shortest.unwrap_or(0))
}
