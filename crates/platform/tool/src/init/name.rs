//! The name of a service, in the forms that files need.

use std::fmt;
use std::str::FromStr;

/// What is called like this in the tree, or is a database of PostgreSQL or PgBouncer.
const TAKEN: &[&str] = &[
    "api",
    "entity",
    "migrate",
    "migration",
    "pgbouncer",
    "postgres",
    "proxy",
    "public",
    "service",
    "template0",
    "template1",
];

/// A name that fits a container image, a Kubernetes object, a systemd unit, a PostgreSQL database and a URL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Name(String);

impl Name {
    /// The words with a capital first letter, joined: `ShopApi`.
    pub(crate) fn identifier(&self) -> String {
        self.words().collect()
    }

    /// The words with a capital first letter, for titles: `Shop Api`.
    pub(crate) fn title(&self) -> String {
        self.words().collect::<Vec<_>>().join(" ")
    }

    /// The name as the first part of an environment variable: `SHOP_API`.
    pub(crate) fn variable(&self) -> String {
        self.0.replace('-', "_").to_uppercase()
    }

    fn words(&self) -> impl Iterator<Item = String> {
        self.0.split('-').map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            first.to_uppercase() + rest
        })
    }
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if !text.starts_with(|first: char| first.is_ascii_lowercase()) || !text.split('-').all(is_word) {
            return Err(
                "must be lowercase letters, digits and single hyphens between them, and begin with a letter",
            );
        }
        if text.len() > 30 {
            return Err("must have at most 30 characters");
        }
        if text.contains("berth") {
            return Err("must not contain `berth`, the name of the platform");
        }
        if TAKEN.contains(&text) {
            return Err("is the name of a part of the tree or of a system database");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_forms_that_files_need() {
        let name: Name = "shop-api2".parse().unwrap();
        assert_eq!(name.to_string(), "shop-api2");
        assert_eq!(
            (name.identifier(), name.title()),
            ("ShopApi2".to_owned(), "Shop Api2".to_owned())
        );
        assert_eq!(name.variable(), "SHOP_API2");
    }

    #[test]
    fn names_that_do_not_fit_everywhere_are_refused() {
        let long = "a".repeat(31);
        for wrong in [
            "",
            "Shop",
            "shop_api",
            "2shop",
            "-shop",
            "shop-",
            "shop--api",
            "my shop",
            "läden",
            "shop/api",
            "berth",
            "my-berth",
            "postgres",
            "api",
            &long,
        ] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }
        assert!("a".repeat(30).parse::<Name>().is_ok());
    }
}
