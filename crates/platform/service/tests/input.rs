//! Types of input: their rules are checked, and described.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use berth_service::rules::email_address;
use berth_service::{Error, Trimmed, Validated, input};
use sea_orm::ActiveValue::{NotSet, Set, Unchanged};
use sea_orm::IntoActiveModel;
use serde_json::{Value, json};
use utoipa::PartialSchema;

mod thing {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "things")]
    pub(super) struct Model {
        #[sea_orm(primary_key)]
        pub(super) id: i32,
        pub(super) title: String,
        pub(super) note: Option<String>,
        pub(super) number: i32,
        pub(super) is_public: bool,
        pub(super) mail: String,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// The fields of a new thing.
#[input(thing, change = UpdateThing)]
struct CreateThing {
    #[garde(length(chars, min = 1, max = 20))]
    title: Trimmed,
    #[garde(length(chars, max = 5))]
    note: Option<String>,
    #[garde(range(min = 1, max = 9))]
    number: i32,
    #[serde(default)]
    is_public: bool,
    #[garde(custom(email_address))]
    mail: String,
}

fn new(change: impl FnOnce(&mut Value)) -> Result<CreateThing, Vec<String>> {
    let mut value = json!({ "title": " a ", "number": 1, "mail": "a@b" });
    change(&mut value);
    let parsed: CreateThing = serde_json::from_value(value).map_err(|error| vec![error.to_string()])?;
    checked(parsed)
}

fn checked<T: Validated>(input: T) -> Result<T, Vec<String>> {
    input.validated().map_err(|error| match error {
        Error::Validation(fields) => fields.into_iter().map(|field| field.path).collect(),
        other => vec![other.to_string()],
    })
}

#[test]
fn every_broken_rule_is_found() {
    let made = new(|_| {}).unwrap();
    assert_eq!((&*made.title, made.is_public), ("a", false));
    let broken = new(|value| {
        *value = json!({ "title": "  ", "note": "123456", "number": 10, "mail": "\u{0}" });
    });
    let mut paths = broken.unwrap_err();
    paths.dedup();
    assert_eq!(paths, ["mail", "note", "number", "title"]);
    for text in ["nul\u{0}", &"x".repeat(21)] {
        assert_eq!(
            new(|value| value["title"] = json!(text)).unwrap_err(),
            ["title"],
            "{text:?}"
        );
    }
    assert_eq!(new(|value| value["note"] = json!("\u{0}")).unwrap_err(), ["note"]);
    assert!(new(|value| value["more"] = json!(1)).unwrap_err()[0].contains("unknown field"));
}

#[test]
fn a_change_has_the_same_rules_for_the_fields_it_names() {
    let change = |value| checked(serde_json::from_value::<UpdateThing>(value).unwrap());
    let none = change(json!({})).unwrap().into_active_model();
    assert_eq!((none.title, none.note, none.number), (NotSet, NotSet, NotSet));
    let some = change(json!({ "title": " b ", "note": null, "number": 9 }))
        .unwrap()
        .into_active_model();
    assert_eq!(
        (some.title, some.note, some.number),
        (Set("b".to_owned()), Set(None), Set(9))
    );
    let broken = json!({ "title": "", "note": "123456", "number": 0, "mail": "a" });
    assert_eq!(change(broken).unwrap_err(), ["mail", "note", "number", "title"]);
}

#[test]
fn a_new_row_has_the_fields_and_no_others() {
    let row = new(|value| value["note"] = json!("n"))
        .unwrap()
        .into_active_model();
    assert_eq!((row.id, row.title), (NotSet, Set("a".to_owned())));
    assert_eq!(
        (row.note, row.mail),
        (Set(Some("n".to_owned())), Set("a@b".to_owned()))
    );
    assert_ne!(row.number, Unchanged(1));
}

#[test]
fn the_rules_are_described() {
    let schema = serde_json::to_value(CreateThing::schema()).unwrap();
    assert_eq!(schema["required"], json!(["title", "number", "mail"]));
    assert_eq!(schema["additionalProperties"], false);
    let mut properties = json!({
        "title": { "type": "string", "minLength": 1, "maxLength": 20, "pattern": "^[^\\x00]*[^\\s\\x00][^\\x00]*$" },
        "note": { "type": ["string", "null"], "maxLength": 5, "pattern": "^[^\\x00]*$" },
        "number": { "type": "integer", "format": "int32", "minimum": 1, "maximum": 9 },
        "is_public": { "type": "boolean" },
        "mail": { "type": "string", "format": "email", "maxLength": 254 },
    });
    assert_eq!(schema["properties"], properties);
    let schema = serde_json::to_value(UpdateThing::schema()).unwrap();
    assert_eq!(
        (schema.get("required"), &schema["minProperties"]),
        (None, &json!(1))
    );
    properties["note"]["type"] = json!(["string", "null"]);
    assert_eq!(schema["properties"], properties);
}
