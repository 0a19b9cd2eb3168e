//! What the templates are filled with.

use heck::ToUpperCamelCase;
use minijinja::{Environment, context};
use serde::Serialize;

use super::field::{Field, Kind};
use super::names::{Name, with_article, words};
use super::tree::Target;
use crate::error::Error;

const TEMPLATES: &[(&str, &str)] = &[
    ("entity", include_str!("../../templates/entity.rs.jinja")),
    ("migration", include_str!("../../templates/migration.rs.jinja")),
    ("service", include_str!("../../templates/service.rs.jinja")),
    ("handlers", include_str!("../../templates/handlers.rs.jinja")),
    ("test", include_str!("../../templates/test.rs.jinja")),
    ("enum", include_str!("../../templates/enum.rs.jinja")),
    ("column", include_str!("../../templates/column.rs.jinja")),
];

/// A field as the templates see it: pieces of code, and what it is called in sentences.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Rendered {
    pub(crate) name: String,
    pub(crate) column: String,
    #[serde(rename = "Column")]
    column_variant: String,
    words: String,
    pub(crate) optional: bool,
    pub(crate) entity_attributes: Vec<String>,
    pub(crate) entity_type: String,
    pub(crate) migration: String,
    column_function: String,
    pub(crate) input_attributes: Vec<String>,
    pub(crate) input_type: String,
    pub(crate) output_type: String,
    pub(crate) filter_type: String,
    pub(crate) filter_path: String,
    pub(crate) enum_name: String,
    pub(crate) values: Vec<Variant>,
    sample: String,
    /// A value that is refused, as JSON.
    invalid: Option<String>,
    pub(crate) target: String,
    pub(crate) target_entity: String,
    pub(crate) target_module: String,
    /// The name of the relation, where the entities have several.
    pub(crate) relation: Option<String>,
    pub(crate) is_owned: bool,
}

/// One value of an enum.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Variant {
    text: String,
    variant: String,
}

impl From<Rendered> for minijinja::Value {
    fn from(field: Rendered) -> Self {
        minijinja::value::Serde(field).into()
    }
}

impl From<&Rendered> for minijinja::Value {
    fn from(field: &Rendered) -> Self {
        minijinja::value::Serde(field).into()
    }
}

/// A table with its fields and the tables they refer to, in the order of the fields.
#[derive(Debug)]
pub(crate) struct Table<'t> {
    pub(crate) name: &'t Name,
    pub(crate) fields: &'t [Field],
    pub(crate) targets: &'t [Target],
}

impl Table<'_> {
    /// The fields as the templates see them.
    pub(crate) fn rendered(&self) -> Vec<Rendered> {
        self.fields.iter().map(|field| self.field(field)).collect()
    }

    /// Whether the entity has several relations to this one, the owner included.
    fn has_several_to(&self, target: &str) -> bool {
        let others = self.targets.iter().filter(|other| other.table == target).count();
        others + usize::from(target == "users") > 1
    }

    fn field(&self, field: &Field) -> Rendered {
        let (one, column) = (&self.name.one, field.column());
        let code = Code::of(&field.kind, one, &field.name);
        let option = |code: &str| match field.is_optional {
            true => format!("Option<{code}>"),
            false => code.to_owned(),
        };
        let mut rendered = Rendered {
            name: field.name.clone(),
            column_variant: column.to_upper_camel_case(),
            words: field.words(),
            optional: field.is_optional,
            entity_type: option(&code.entity),
            input_type: option(&code.input),
            output_type: option(&code.output),
            filter_type: code.filter.clone(),
            filter_path: code.filter,
            enum_name: Kind::enum_name(one, &field.name),
            sample: code.sample,
            invalid: code.invalid.map(|value| format!("(\"{column}\", {value})")),
            input_attributes: code
                .rule
                .map(|rule| format!("garde({rule})"))
                .into_iter()
                .collect(),
            ..Rendered::default()
        };
        let suffix = if field.is_optional { "_null" } else { "" };
        let arguments = code.arguments;
        rendered.column_function = format!("{}{suffix}", code.column);
        rendered.migration = format!("{}(\"{column}\"{arguments})", rendered.column_function);
        let mut attributes: Vec<String> = code
            .column_type
            .map(|kind| format!("column_type = \"{kind}\""))
            .into_iter()
            .collect();
        if field.is_optional && !attributes.is_empty() {
            attributes.push("nullable".to_owned());
        }
        if field.is_unique {
            attributes.push(format!("unique_key = \"owner_{column}\""));
        }
        if !attributes.is_empty() {
            rendered.entity_attributes = vec![attributes.join(", ")];
        }
        match &field.kind {
            Kind::Enum(values) => {
                let variant = |value: &String| Variant {
                    text: value.clone(),
                    variant: value.to_upper_camel_case(),
                };
                rendered.values = values.iter().map(variant).collect();
                let path = format!("{one}::{}", rendered.enum_name);
                (rendered.input_type, rendered.output_type) = (option(&path), option(&path));
                (rendered.filter_type, rendered.filter_path) = (path.clone(), path);
            }
            Kind::Boolean if !field.is_optional => {
                rendered.migration += ".default(false)";
                rendered.input_attributes.push("serde(default)".to_owned());
            }
            Kind::References(table) => self.refer(&mut rendered, table),
            _ => {}
        }
        rendered.column = column;
        rendered
    }

    fn refer(&self, rendered: &mut Rendered, table: &str) {
        let Some(target) = self.targets.iter().find(|target| target.table == table) else {
            return;
        };
        let module = format!("crate::{}", target.module);
        rendered.target = table.to_owned();
        rendered.target_entity = match rendered.optional {
            true => format!("Option<{module}::Entity>"),
            false => format!("{module}::Entity"),
        };
        rendered.target_module = target.module.clone();
        rendered.is_owned = target.is_owned;
        rendered
            .input_attributes
            .push(format!("references(\"/{table}\")"));
        if self.has_several_to(table) {
            rendered.relation = Some(rendered.name.to_upper_camel_case());
        }
        rendered.sample = match (target.is_owned, rendered.optional) {
            (true, _) => rendered.name.clone(),
            (false, _) => format!("{}_id", rendered.name),
        };
    }

    /// The definition of a field's enum.
    pub(crate) fn enum_code(&self, field: &Rendered) -> Result<String, Error> {
        let article = with_article(&self.name.one);
        render("enum", context! { field, a_one => article })
    }

    /// Fills a template.
    pub(crate) fn fill(&self, template: &str) -> Result<String, Error> {
        let Name { one, many } = self.name;
        let fields = self.rendered();
        let of = |chosen: fn(&Rendered) -> bool| {
            fields
                .iter()
                .filter(|field| chosen(field))
                .cloned()
                .collect::<Vec<_>>()
        };
        let references = of(|field| !field.target.is_empty());
        let owned = of(|field| field.is_owned);
        let unique = self
            .fields
            .iter()
            .position(|field| field.is_unique)
            .map(|index| fields[index].clone());
        let filters: Vec<_> = self
            .fields
            .iter()
            .zip(&fields)
            .filter(|(field, _)| {
                field.is_unique || matches!(field.kind, Kind::Boolean | Kind::Enum(_) | Kind::References(_))
            })
            .map(|(_, rendered)| rendered.clone())
            .collect();
        let invalid: Vec<String> = fields.iter().filter_map(|field| field.invalid.clone()).collect();
        let preparations: Vec<String> = references.iter().map(preparation).collect();
        let capital = |text: &str| text[..1].to_uppercase() + &text[1..];
        let mut functions: Vec<_> = fields.iter().map(|field| field.column_function.clone()).collect();
        functions.extend(["uuid", "integer", "timestamp_with_time_zone"].map(str::to_owned));
        functions.sort();
        functions.dedup();
        let uses =
            |name: &str, of: fn(&Rendered) -> &String| fields.iter().any(|field| of(field).contains(name));
        let values = ["Base64", "Decimal", "NaiveDate", "Value"];
        let mut service_values: Vec<&str> = values
            .into_iter()
            .filter(|name| uses(name, |field| &field.input_type))
            .collect();
        let mut handler_values: Vec<&str> = values
            .into_iter()
            .filter(|name| uses(name, |field| &field.output_type))
            .collect();
        handler_values.extend(["DateTime", "Utc"]);
        if uses("DateTime<Utc>", |field| &field.input_type) {
            service_values.extend(["DateTime", "Utc"]);
        }
        let rule = |name: &str| {
            fields
                .iter()
                .any(|field| field.input_attributes.iter().any(|one| one.contains(name)))
        };
        let rules: Vec<&str> = ["decimal", "no_nul"]
            .into_iter()
            .filter(|name| rule(name))
            .collect();
        let mut target_modules: Vec<_> = owned.iter().map(|field| field.target_module.clone()).collect();
        target_modules.sort();
        target_modules.dedup();
        let invalid = (!invalid.is_empty()).then(|| format!("[{}]", invalid.join(", ")));
        let article = with_article(one);
        let enums = of(|field| !field.values.is_empty());
        let enum_codes: Vec<String> = enums
            .iter()
            .map(|field| self.enum_code(field))
            .collect::<Result<_, _>>()?;
        let filled = context! {
            numbered => fields.iter().any(|field| field.values.is_empty() && field.sample.contains("number")),
            needs_client => !references.is_empty(),
            trimmed => uses("Trimmed", |field| &field.input_type),
            one, many, fields, references, filters, unique, invalid, preparations, rules, target_modules,
            service_values, handler_values,
            owned_references => owned,
            enums, enum_codes,
            Type => self.name.type_name(),
            Service => self.name.service_name(),
            one_words => words(one),
            many_words => words(many),
            Many => capital(&words(many)),
            A_one => capital(&article),
            a_one => article,
            a_one_name => with_article(one).replace(' ', "_"),
            column_functions => functions,
            names_owner => self.has_several_to("users"),
        };
        render(template, filled)
    }
}

/// Fills one of the templates.
pub(crate) fn render(template: &str, context: minijinja::Value) -> Result<String, Error> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    for (name, text) in TEMPLATES {
        templates.add_template(name, text)?;
    }
    Ok(templates.get_template(template)?.render(context)?)
}

/// Makes what a reference refers to, in a test.
fn preparation(field: &Rendered) -> String {
    let Rendered { name, target, .. } = field;
    match field.is_owned {
        true => format!("let {name} = crate::{target}::create(client).await[\"id\"].clone();"),
        false => format!("let {name}_id = client.get(\"/api/v1/me\").await.ok()[\"id\"].clone();"),
    }
}

/// The pieces of code for a kind.
struct Code {
    entity: String,
    input: String,
    output: String,
    filter: String,
    /// The function of sea-orm-migration, and its arguments after the name.
    column: &'static str,
    arguments: String,
    /// Where SeaORM would take another type.
    column_type: Option<String>,
    rule: Option<String>,
    sample: String,
    invalid: Option<String>,
}

impl Code {
    /// One type everywhere.
    fn simple(rust: &str, column: &'static str, sample: &str) -> Self {
        Self {
            entity: rust.to_owned(),
            input: rust.to_owned(),
            output: rust.to_owned(),
            filter: rust.to_owned(),
            column,
            arguments: String::new(),
            column_type: None,
            rule: None,
            sample: sample.to_owned(),
            invalid: None,
        }
    }

    fn of(kind: &Kind, table: &str, field: &str) -> Self {
        let wrong_type = Some("json!([])".to_owned());
        match kind {
            Kind::String(length) => Self {
                input: "Trimmed".to_owned(),
                column_type: Some("Text".to_owned()),
                rule: Some(format!("length(chars, min = 1, max = {length})")),
                invalid: Some(format!("json!(\"x\".repeat({length} + 1))")),
                ..Self::simple("String", "text", short_text(*length))
            },
            Kind::Text => Self {
                column_type: Some("Text".to_owned()),
                rule: Some("length(chars, max = 100_000)".to_owned()),
                invalid: Some("json!(\"\\u{0}\")".to_owned()),
                ..Self::simple("String", "text", "format!(\"text {number}\")")
            },
            Kind::Integer => Self {
                invalid: Some("json!(2_147_483_648_u64)".to_owned()),
                ..Self::simple("i32", "integer", "number")
            },
            Kind::Bigint => Self {
                invalid: wrong_type,
                ..Self::simple("i64", "big_integer", "number")
            },
            Kind::Decimal(precision, scale) => Self {
                entity: "Decimal".to_owned(),
                arguments: format!(", {precision}, {scale}"),
                column_type: Some(format!("Decimal(Some(({precision}, {scale})))")),
                rule: Some(format!("custom(decimal({precision}, {scale}))")),
                invalid: Some(format!("json!(\"0.{}1\")", "0".repeat(*scale as usize))),
                ..Self::simple("Decimal", "decimal_len", &decimal_sample(*precision, *scale))
            },
            Kind::Boolean => Self {
                invalid: Some("json!(\"yes\")".to_owned()),
                ..Self::simple("bool", "boolean", "number.is_multiple_of(2)")
            },
            Kind::Date => Self {
                entity: "Date".to_owned(),
                invalid: Some("json!(\"2026-02-30\")".to_owned()),
                ..Self::simple("NaiveDate", "date", "\"2026-01-31\"")
            },
            Kind::Timestamp => Self {
                entity: "DateTimeUtc".to_owned(),
                invalid: Some("json!(\"yesterday\")".to_owned()),
                ..Self::simple(
                    "DateTime<Utc>",
                    "timestamp_with_time_zone",
                    "\"2026-01-31T12:00:00Z\"",
                )
            },
            Kind::Uuid | Kind::References(_) => Self {
                invalid: Some("json!(\"none\")".to_owned()),
                ..Self::simple("Uuid", "uuid", "uuid::Uuid::now_v7()")
            },
            Kind::Json => Self {
                entity: "Json".to_owned(),
                column_type: Some("JsonBinary".to_owned()),
                ..Self::simple("Value", "json_binary", "{ \"number\": number }")
            },
            Kind::Bytes => Self {
                entity: "berth_service::value::Base64".to_owned(),
                column_type: Some("Blob".to_owned()),
                invalid: Some("json!(\"?\")".to_owned()),
                ..Self::simple("Base64", "blob", "\"YmVydGg=\"")
            },
            Kind::Enum(values) => Self {
                column_type: None,
                sample: format!("\"{}\"", values.first().map_or("", String::as_str)),
                invalid: Some("json!(\"no such value\")".to_owned()),
                ..Self::simple(&Kind::enum_name(table, field), "text", "")
            },
            Kind::List(item) => Self::list(&Self::of(item, table, field), item),
        }
    }

    fn list(item: &Self, kind: &Kind) -> Self {
        let values = format!("Vec<{}>", item.output);
        let rule = match kind {
            Kind::String(length) => {
                format!("length(max = 100), inner(length(chars, max = {length}), custom(no_nul))")
            }
            _ => "length(max = 100)".to_owned(),
        };
        Self {
            entity: format!("berth_service::value::List<{}>", item.entity),
            column_type: Some("JsonBinary".to_owned()),
            rule: Some(rule),
            invalid: Some("json!(1)".to_owned()),
            ..Self::simple(&values, "json_binary", &format!("[{}]", item.sample))
        }
    }
}

/// Text that differs with the number, where there is room.
fn short_text(length: u32) -> &'static str {
    match length {
        0..=2 => "\"x\"",
        3..=11 => "number.to_string()",
        _ => "format!(\"text {number}\")",
    }
}

/// Has as many digits behind the point as the column, and ends in no zero, so that it reads as it was written.
fn decimal_sample(precision: u32, scale: u32) -> String {
    let whole = if precision > scale { "1" } else { "0" };
    match scale {
        0 => format!("\"{whole}\""),
        _ => format!("\"{whole}.{}5\"", "2".repeat(scale as usize - 1)),
    }
}
