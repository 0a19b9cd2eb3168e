//! Replaces the name that the service has in a fresh clone, and keeps the name of the platform.
//!
//! `berth` in lower case is the service: its image, database, unit and manifests. `Berth` is the platform in prose, and the
//! service's title elsewhere. The platform's crates and variables keep their names everywhere.

use super::name::Name;

/// The kind of a text, which decides what `Berth` is in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Documentation: `Berth` is the platform.
    Prose,
    /// Anything else: `Berth` is the service's title.
    Other,
}

impl Kind {
    pub(super) fn of(path: &str) -> Self {
        match path.rsplit_once('.') {
            Some((_, "md" | "txt")) => Self::Prose,
            _ => Self::Other,
        }
    }
}

/// Returns a text or path with the service's new name.
pub(super) fn renamed(text: &str, name: &Name, kind: Kind, crates: &[String]) -> String {
    let lower = text.to_ascii_lowercase();
    let mut new = String::with_capacity(text.len());
    let mut end = 0;
    for (start, found) in lower.match_indices("berth") {
        new.push_str(&text[end..start]);
        end = start + found.len();
        let (word, rest) = (&text[start..end], &text[end..]);
        match replacement(word, rest, name, kind, crates) {
            Some(replacement) => new.push_str(&replacement),
            None => new.push_str(word),
        }
    }
    new + &text[end..]
}

fn replacement(word: &str, rest: &str, name: &Name, kind: Kind, crates: &[String]) -> Option<String> {
    match word {
        "berth" if is_platform(rest, crates) => None,
        "berth" => Some(name.to_string()),
        "BERTH" if rest.starts_with("_TEST_") => None,
        "BERTH" => Some(name.variable()),
        _ if kind == Kind::Prose => None,
        _ if rest.starts_with(|next: char| next.is_alphanumeric()) => Some(name.identifier()),
        _ => Some(name.title()),
    }
}

/// Whether what follows `berth` makes it a crate of the platform, a pattern for all of them, or its repository.
fn is_platform(rest: &str, crates: &[String]) -> bool {
    let after = rest.strip_prefix(['-', '_']);
    let is_crate = after.is_some_and(|after| {
        crates.iter().any(|name| {
            let end = after.strip_prefix(name.as_str());
            end.is_some_and(|end| !end.starts_with(|next: char| next.is_alphanumeric()))
        })
    });
    is_crate
        || ["-/", "-$", "-*", "-\"", ".git"]
            .iter()
            .any(|pattern| rest.starts_with(pattern))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop(text: &str, kind: Kind) -> String {
        let crates = ["web".to_owned(), "migrate".to_owned()];
        renamed(text, &"my-shop".parse().unwrap(), kind, &crates)
    }

    #[test]
    fn the_service_is_renamed_and_the_platform_is_not() {
        for (before, after) in [
            ("image: berth:local", "image: my-shop:local"),
            (
                "berth-proxy berth/api berth_x",
                "my-shop-proxy my-shop/api my-shop_x",
            ),
            (
                "use berth_web::Error; // berth-web",
                "use berth_web::Error; // berth-web",
            ),
            ("berth-migrate berth-migration", "berth-migrate my-shop-migration"),
            (
                "alert: BerthErrors, \"title\": \"Berth\"",
                "alert: MyShopErrors, \"title\": \"My Shop\"",
            ),
            ("BERTH_TEST_CLUSTER BERTH_X", "BERTH_TEST_CLUSTER MY_SHOP_X"),
            ("deploy/systemd/berth.service", "deploy/systemd/my-shop.service"),
            ("https://example.com/berth.git", "https://example.com/berth.git"),
            ("/^berth-/s/", "/^berth-/s/"),
            ("trim_start_matches(\"berth-\")", "trim_start_matches(\"berth-\")"),
        ] {
            assert_eq!(shop(before, Kind::Other), after);
        }
    }

    #[test]
    fn in_prose_a_capital_letter_means_the_platform() {
        let text = "Berth waits. `docker build --tag berth .`";
        assert_eq!(
            shop(text, Kind::Prose),
            "Berth waits. `docker build --tag my-shop .`"
        );
    }
}
