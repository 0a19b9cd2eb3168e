//! Errors of the tool.

use std::fmt::Write;

/// Why nothing, or not everything, was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0} is not inside a git work tree")]
    NoRepository(String),
    #[error("commit or stash first: an upgrade can then be undone as a whole. Not committed:{}", list(.0))]
    Unclean(Vec<String>),
    #[error("the name {name:?} {rule}")]
    Name { name: String, rule: &'static str },
    #[error("this tree is named {0:?} already; nothing was changed")]
    Named(String),
    #[error("commit or stash first, or allow it with DIRTY=yes where the example stays. Not committed:{}", list(.0))]
    Uncommitted(Vec<String>),
    #[cfg(feature = "entities")]
    #[error("set DATABASE_URL to a PostgreSQL database, in the environment or in .env")]
    NoDatabase,
    #[cfg(feature = "entities")]
    #[error("the database cannot be read: {0}")]
    Database(String),
    #[cfg(feature = "entities")]
    #[error("there is no table {table}; there are:{}", list(.others))]
    NoSuchTable { table: String, others: Vec<String> },
    #[cfg(feature = "entities")]
    #[error("the table {0} has no primary key, which an entity needs")]
    NoPrimaryKey(String),
    #[cfg(feature = "entities")]
    #[error("SeaORM's generator: {0}")]
    Generator(String),
    #[error("{0} failed; `git restore . && git clean -fd` brings everything back")]
    Command(String),
    #[error("cannot get {tag} from {from}: {reason}")]
    NoSuchVersion {
        from: String,
        tag: String,
        reason: String,
    },
    #[error(
        "{0} has no crates/platform/MANIFEST: it is not a Berth, or older than the first platform (0.2.0)"
    )]
    NoPlatform(String),
    #[error("crates/platform/MANIFEST, line {line}: {rule}")]
    Manifest { line: usize, rule: &'static str },
    #[error("the crates of the platform have different versions:{}", list(.0))]
    Versions(Vec<String>),
    #[error("the platform is already at {0}")]
    SameVersion(semver::Version),
    #[error("the platform is {here}, and {tag} is older ({there}): a platform is not downgraded")]
    Downgrade {
        here: semver::Version,
        there: semver::Version,
        tag: String,
    },
    #[error(
        "files of the platform were changed here and would be lost:{}\n\
         Move the changes to your own crates, or bring the files back with `git checkout <commit> -- <file>`.",
        list(.0)
    )]
    Changed(Vec<String>),
    #[error("the platform of the new version does not match its own MANIFEST:{}", list(.0))]
    Damaged(Vec<String>),
    #[error("crates/platform/MANIFEST is out of date; write it with `make manifest`. Differing:{}", list(.0))]
    OutOfDate(Vec<String>),
    #[error("{file}: {source}")]
    Toml {
        file: String,
        source: toml_edit::TomlError,
    },
    #[error("{file} has no [{table}]")]
    NoTable { file: String, table: &'static str },
    #[error("the name {name:?} {rule}")]
    Unusable { name: String, rule: String },
    #[error("the field {field:?}: {rule}")]
    Field { field: String, rule: String },
    #[error("{table}: {rule}")]
    Table { table: String, rule: String },
    #[error(
        "{file} does not have the form that the generator knows; change it by hand as docs/tables.md says"
    )]
    Form { file: String },
    #[error("{file}: {source}")]
    File { file: String, source: std::io::Error },
    #[error("a template is wrong: {0}")]
    Template(#[from] minijinja::Error),
    #[error("{command} failed, so nothing was changed:\n{reason}")]
    Failed { command: &'static str, reason: String },
    #[error("git {command}: {reason}")]
    Git { command: String, reason: String },
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Error {
    /// A name that cannot be used.
    pub(crate) fn name(name: &str, rule: &str) -> Self {
        Self::Unusable {
            name: name.to_owned(),
            rule: rule.to_owned(),
        }
    }

    /// A table that the command cannot work with.
    pub(crate) fn table(table: &str, rule: impl Into<String>) -> Self {
        Self::Table {
            table: table.to_owned(),
            rule: rule.into(),
        }
    }
}

fn list(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = write!(text, "\n  {line}");
        text
    })
}
