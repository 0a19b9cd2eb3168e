//! Names of tables and fields: which are usable, and their forms.

use heck::ToUpperCamelCase;

use crate::error::Error;

/// Words that Rust keeps for itself, in any edition.
const RUST: &str = "abstract as async await become box break const continue crate do dyn else enum extern false final fn \
    for gen if impl in let loop macro match mod move mut override priv pub ref return self static struct super trait true \
    try type typeof union unsafe unsized use virtual where while yield";
/// Words that PostgreSQL or SQLite keep for themselves.
const SQL: &str = "all alter analyse analyze and any array as asc asymmetric authorization between binary both by case cast \
    check collate collation column commit concurrently constraint create cross current_catalog current_date current_role \
    current_schema current_time current_timestamp current_user default deferrable delete desc distinct do drop else end \
    escape except exists false fetch for foreign freeze from full grant group having ilike in index initially inner insert \
    intersect into is isnull join lateral leading left like limit localtime localtimestamp natural not notnull null offset \
    on only or order outer overlaps placing primary references returning right rollback select session_user set similar \
    some symmetric system_user table tablesample then to trailing transaction true union unique update user using values \
    variadic verbose view when where window with";
/// Modules, types and columns that the generated code has already.
const TAKEN: &str = "active_model auth column entity error filter health id input is_yours key \
    list me metrics model new output owned owner owner_id page path patch primary_key problem query \
    relation routes sample service services session sort users versioned created_at updated_at version cursor by_change \
    main server start settings";

/// A name in its forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// `line_item`
    pub(crate) one: String,
    /// `line_items`
    pub(crate) many: String,
}

impl Name {
    /// Checks the name of a table, in the singular.
    pub(crate) fn of_table(one: &str, many: Option<&str>) -> Result<Self, Error> {
        let name = Self {
            one: one.to_owned(),
            many: many.map_or_else(|| plural(one), str::to_owned),
        };
        check(&name.one)?;
        check(&name.many)?;
        let refuse = |rule: &str| Err(Error::name(one, rule));
        if name.one == name.many {
            return refuse("needs a plural that differs: PLURAL=...");
        }
        if one.starts_with("platform_") || one.starts_with("seaql_") {
            return refuse("begins as the platform's own tables do");
        }
        Ok(name)
    }

    /// `LineItem`
    pub(crate) fn type_name(&self) -> String {
        self.one.to_upper_camel_case()
    }

    /// `LineItems`
    pub(crate) fn service_name(&self) -> String {
        self.many.to_upper_camel_case()
    }
}

/// Checks a name that becomes a module, a type, a column or a field.
pub(crate) fn check(name: &str) -> Result<(), Error> {
    let refuse = |rule: &str| Err(Error::name(name, rule));
    let is_word = |word: &str| word.split_whitespace().any(|one| one == name);
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(letters) {
        return refuse(
            "must begin with a lower-case letter, and contain only such letters, digits and underscores",
        );
    }
    if name.ends_with('_') || name.contains("__") || name.len() > 40 {
        return refuse("must have at most 40 characters, and single underscores within");
    }
    if RUST.split_whitespace().any(|one| one == name) {
        return refuse("is a keyword of Rust");
    }
    if is_word(SQL) {
        return refuse("is a reserved word of SQL");
    }
    if is_word(TAKEN) {
        return refuse("has a meaning in the generated code already");
    }
    Ok(())
}

/// The English plural, as far as rules go.
pub(crate) fn plural(one: &str) -> String {
    let vowel = |c: Option<char>| c.is_some_and(|c| "aeiou".contains(c));
    match one.strip_suffix('y') {
        Some(stem) if !vowel(stem.chars().last()) => format!("{stem}ies"),
        _ if ["s", "x", "z", "ch", "sh"].iter().any(|end| one.ends_with(end)) => format!("{one}es"),
        _ => format!("{one}s"),
    }
}

/// The words of a name, for sentences: `line item`.
pub(crate) fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// With its article: `an invoice`.
pub(crate) fn with_article(one: &str) -> String {
    let article = if one.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {}", words(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_follow_the_rules_of_spelling() {
        let plurals = ["invoice", "category", "day", "box", "line_item", "branch"].map(plural);
        assert_eq!(
            plurals,
            [
                "invoices",
                "categories",
                "days",
                "boxes",
                "line_items",
                "branches"
            ]
        );
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        for name in [
            "", "Invoice", "1st", "a-b", "a__b", "type", "user", "order", "session", "_a", "a_",
        ] {
            assert!(Name::of_table(name, None).is_err(), "{name}");
        }
        for name in ["invoice", "line_item", "customer"] {
            assert!(Name::of_table(name, None).is_ok(), "{name}");
        }
        assert!(Name::of_table("sheep", Some("sheep")).is_err());
        assert!(Name::of_table("platform_thing", None).is_err());
    }
}
