//! How a setting is called in the environment.

/// The names that deployments already use, and the keys they stand for.
const SHORT: [(&str, &str); 15] = [
    ("APP_ENV", "app.environment"),
    ("DATABASE_URL", "database.url"),
    ("DB_POOL_SIZE", "database.pool_size"),
    ("DB_MAX_OVERFLOW", "database.max_overflow"),
    ("DB_POOL_TIMEOUT", "database.pool_timeout"),
    ("DB_POOL_RECYCLE", "database.pool_recycle"),
    ("DB_ECHO", "database.echo"),
    ("DB_STRATEGY", "database.strategy"),
    ("DB_POOLER", "database.pooler"),
    ("DB_LIMIT", "database.limit"),
    ("DB_RESERVE", "database.reserve"),
    ("DB_INSTANCES", "database.instances"),
    ("SERVER_HOST", "server.host"),
    ("SERVER_PORT", "server.port"),
    ("LOG_LEVEL", "log.level"),
];

/// The key that a variable sets; `None` for a variable that is none of ours.
pub(super) fn key_of_variable(name: &str) -> Option<String> {
    if let Some(path) = name.strip_prefix("APP__") {
        return Some(path.to_ascii_lowercase().replace("__", "."));
    }
    SHORT
        .iter()
        .find(|(short, _)| *short == name)
        .map(|(_, key)| (*key).to_owned())
}

/// The known key that looks most like `key`, if one looks alike at all.
pub(super) fn closest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (distance(key, known), known))
        .min()
        .filter(|(far, _)| *far <= 3)
        .map(|(_, known)| known)
}

/// The number of letters to insert, drop or replace to turn `left` into `right`.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(l != r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_key_finds_the_one_that_was_meant() {
        let known = ["database.pool_size", "database.pooler", "server.port"];
        assert_eq!(
            closest("database.poolsize", known.into_iter()),
            Some("database.pool_size")
        );
        assert_eq!(closest("server.prot", known.into_iter()), Some("server.port"));
        assert_eq!(closest("something.else", known.into_iter()), None);
    }

    #[test]
    fn variables_of_others_are_not_ours() {
        assert_eq!(
            key_of_variable("APP__SERVER__PORT").as_deref(),
            Some("server.port")
        );
        assert_eq!(key_of_variable("DB_LIMIT").as_deref(), Some("database.limit"));
        assert_eq!(key_of_variable("APPDATA"), None);
        assert_eq!(key_of_variable("PATH"), None);
    }
}
