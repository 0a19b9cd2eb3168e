//! The fields of a table, as they are written: `number:string(40):unique paid_at:timestamp?`.

use heck::ToUpperCamelCase;

use super::names::{check, words};
use crate::error::Error;

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) is_optional: bool,
    /// Whether an owner has at most one row with each value.
    pub(crate) is_unique: bool,
}

/// What a field contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text of one line, at most this long.
    String(u32),
    Text,
    Integer,
    Bigint,
    Decimal(u32, u32),
    Boolean,
    Date,
    Timestamp,
    Uuid,
    Json,
    Bytes,
    Enum(Vec<String>),
    /// Values of a kind, stored as JSON.
    List(Box<Kind>),
    /// The key of a row of this table.
    References(String),
}

/// Reads a list of fields, which spaces separate.
pub(crate) fn parse(fields: &str) -> Result<Vec<Field>, Error> {
    let mut parsed: Vec<Field> = Vec::new();
    for text in fields.split_whitespace() {
        let field = Field::parse(text)?;
        if parsed.iter().any(|other| other.column() == field.column()) {
            return Err(Error::name(&field.name, "stands twice"));
        }
        parsed.push(field);
    }
    if parsed.is_empty() {
        return Err(Error::Field {
            field: fields.to_owned(),
            rule: "name at least one field, as in FIELDS=\"title:string\"".to_owned(),
        });
    }
    if parsed.iter().filter(|field| field.is_unique).count() > 1 {
        let rule = "only one field of a table can be unique: SeaORM describes one unique key with the owner";
        return Err(Error::Field {
            field: fields.to_owned(),
            rule: rule.to_owned(),
        });
    }
    Ok(parsed)
}

impl Field {
    fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |rule: &str| Error::Field {
            field: text.to_owned(),
            rule: rule.to_owned(),
        };
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        check(name)?;
        let kind = parts
            .next()
            .ok_or_else(|| refuse("needs a type, as in title:string"))?;
        let mut rest: Vec<&str> = parts.collect();
        let is_unique = rest.last() == Some(&"unique");
        if is_unique {
            rest.pop();
        }
        let (kind, target, is_optional) = match (kind, &rest[..]) {
            ("references", [target]) => {
                let (target, is_optional) = optional(target);
                (kind, Some(target), is_optional)
            }
            ("references", _) => return Err(refuse("needs a table, as in customer:references:customers")),
            (_, []) => {
                let (kind, is_optional) = optional(kind);
                (kind, None, is_optional)
            }
            _ => return Err(refuse("has more than a name, a type and `unique`")),
        };
        let kind = match target {
            Some(target) => Kind::References(target.to_owned()),
            None => Kind::parse(kind).map_err(|rule| refuse(&rule))?,
        };
        if is_unique && !matches!(kind, Kind::String(_) | Kind::Integer | Kind::Bigint | Kind::Uuid) {
            return Err(refuse("only string, integer, bigint and uuid can be unique"));
        }
        if is_unique && is_optional {
            return Err(refuse("a unique field cannot be optional"));
        }
        Ok(Self {
            name: name.to_owned(),
            kind,
            is_optional,
            is_unique,
        })
    }

    /// The name of the column, and of the field in Rust and JSON.
    pub(crate) fn column(&self) -> String {
        match self.kind {
            Kind::References(_) => format!("{}_id", self.name),
            _ => self.name.clone(),
        }
    }

    /// For sentences.
    pub(crate) fn words(&self) -> String {
        words(&self.name)
    }
}

fn optional(text: &str) -> (&str, bool) {
    match text.strip_suffix('?') {
        Some(text) => (text, true),
        None => (text, false),
    }
}

impl Kind {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(item) = text.strip_suffix("[]") {
            return match Self::parse(item)? {
                item @ (Self::String(_)
                | Self::Integer
                | Self::Bigint
                | Self::Boolean
                | Self::Uuid
                | Self::Date) => Ok(Self::List(Box::new(item))),
                _ => Err("an array has string, integer, bigint, boolean, uuid or date".to_owned()),
            };
        }
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => {
                let arguments = rest.strip_suffix(')').ok_or("lacks a closing bracket")?;
                (name, Some(arguments))
            }
            None => (text, None),
        };
        let simple = match name {
            "text" => Some(Self::Text),
            "integer" => Some(Self::Integer),
            "bigint" => Some(Self::Bigint),
            "boolean" => Some(Self::Boolean),
            "date" => Some(Self::Date),
            "timestamp" => Some(Self::Timestamp),
            "uuid" => Some(Self::Uuid),
            "json" => Some(Self::Json),
            "bytes" => Some(Self::Bytes),
            _ => None,
        };
        match (name, simple, arguments) {
            (_, Some(kind), None) => Ok(kind),
            (_, Some(_), Some(_)) => Err(format!("{name} takes nothing in brackets")),
            ("string", ..) => length(arguments),
            ("decimal", ..) => decimal(arguments),
            ("enum", ..) => enumeration(arguments),
            _ => Err(format!(
                "{name} is not a type: string(n), text, integer, bigint, decimal(p,s), boolean, date, timestamp, uuid, json, \
                 bytes, enum(a|b), references, an array such as string[], each optional with `?`"
            )),
        }
    }

    /// The type of an enum, whose name begins with the table's.
    pub(crate) fn enum_name(table: &str, field: &str) -> String {
        format!("{table}_{field}").to_upper_camel_case()
    }
}

fn length(arguments: Option<&str>) -> Result<Kind, String> {
    let length = arguments.unwrap_or("200").trim().parse();
    match length {
        Ok(length @ 1..=10_000) => Ok(Kind::String(length)),
        _ => Err("string(n) has 1 to 10000 characters".to_owned()),
    }
}

fn decimal(arguments: Option<&str>) -> Result<Kind, String> {
    let numbers: Vec<u32> = arguments
        .unwrap_or("12,2")
        .split(',')
        .filter_map(|number| number.trim().parse().ok())
        .collect();
    match numbers[..] {
        [precision @ 1..=28, scale] if scale <= precision => Ok(Kind::Decimal(precision, scale)),
        _ => Err("decimal(p,s) has 1 to 28 digits, of which at most all are behind the point".to_owned()),
    }
}

fn enumeration(arguments: Option<&str>) -> Result<Kind, String> {
    let values: Vec<String> = arguments
        .unwrap_or_default()
        .split('|')
        .map(|value| value.trim().to_owned())
        .collect();
    for (index, value) in values.iter().enumerate() {
        check_value(value)?;
        if values[..index].contains(value) {
            return Err(format!("{value} stands twice"));
        }
    }
    Ok(Kind::Enum(values))
}

fn check_value(value: &str) -> Result<(), String> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_usable = value.starts_with(|c: char| c.is_ascii_lowercase())
        && value.chars().all(letters)
        && value != "self"
        && !value.contains("__")
        && !value.ends_with('_');
    match is_usable {
        true => Ok(()),
        false => Err(format!(
            "enum(a|b): {value:?} must be lower-case letters, digits and underscores"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read() {
        let fields = parse(
            "number:string(40):unique note:text? count:integer size:bigint total:decimal(10,3) open:boolean due:date \
             paid_at:timestamp? code:uuid data:json? file:bytes status:enum(draft|sent) tags:string[] customer:references:users?",
        );
        let fields = fields.expect("all are types");
        assert_eq!(fields.len(), 14);
        assert_eq!(fields[0].kind, Kind::String(40));
        assert!(fields[0].is_unique && !fields[0].is_optional);
        assert!(fields[1].is_optional);
        assert_eq!(fields[4].kind, Kind::Decimal(10, 3));
        assert_eq!(
            fields[11].kind,
            Kind::Enum(vec!["draft".to_owned(), "sent".to_owned()])
        );
        assert_eq!(fields[12].kind, Kind::List(Box::new(Kind::String(200))));
        assert_eq!(
            (fields[13].column(), fields[13].is_optional),
            ("customer_id".to_owned(), true)
        );
    }

    #[test]
    fn what_is_not_a_field_is_refused() {
        for fields in [
            "",
            "title",
            "title:",
            "title:strin",
            "title:string title:text",
            "id:uuid",
            "type:string",
            "select:text",
            "a:string(0)",
            "a:string(x)",
            "a:string(5",
            "a:decimal(40,2)",
            "a:decimal(2,3)",
            "a:enum",
            "a:enum(x|x)",
            "a:enum(X)",
            "a:references",
            "a:text(3)",
            "a:json[]",
            "a:string:uniqe",
            "a:string?:unique",
            "a:text:unique",
            "a:string:unique b:string:unique",
            "a:references:users a_id:uuid",
        ] {
            assert!(parse(fields).is_err(), "{fields}");
        }
    }
}
