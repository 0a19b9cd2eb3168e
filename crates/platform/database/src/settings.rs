//! The settings of the connection pool, each with its range.

pub(crate) mod url;

use std::path::PathBuf;
use std::time::Duration;

use berth_settings::{between, characters, require, seconds};
use garde::Validate;
use serde::{Deserialize, Serialize};

use crate::settings::url::DatabaseUrl;

/// Bounds deadlines, which may be longer than clocks and servers can represent: a year.
pub(crate) const LONGEST: Duration = Duration::from_secs(31_536_000);

/// Decides how many connections there may be, how long they live, and how long callers wait.
///
/// Durations are written in seconds, fractions allowed. [`Settings::validate`] checks the ranges and the rules;
/// [`Database::new`](crate::Database::new) refuses settings that break one.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the database is: `postgres://...` or `sqlite://path?mode=rwc`.
    pub url: DatabaseUrl,
    /// A file with the password, read for each connection attempt.
    pub password_file: Option<PathBuf>,
    /// A shell command that prints the password, run for each connection attempt.
    #[garde(custom(only_one(self)))]
    pub password_command: Option<String>,
    /// Keeps connections (`pooled`) or opens one for each lease (`fresh`).
    #[garde(custom(possible_behind(self.pooler)))]
    pub strategy: Strategy,
    /// The pooler between this process and PostgreSQL; `auto` finds it out by experiment.
    pub pooler: Pooler,
    /// Clients that the pooler or server accepts at once, over all instances. 1 to 10000, default 15.
    #[garde(custom(between(1, 10_000)))]
    pub limit: u32,
    /// Connections of the limit left for other clients. 0 to 9999 and below `limit`, default 2.
    #[garde(custom(between(0, 9_999)), custom(below_limit(self.limit)))]
    pub reserve: u32,
    /// Instances that share the limit: `auto` (counted in the server) or a number from 1 to 10000.
    #[garde(custom(a_number_from_1))]
    pub instances: Instances,
    /// Connections kept open while idle. 0 to 10000, default 3.
    #[garde(custom(between(0, 10_000)), custom(pool_size_within_limit(self)))]
    pub pool_size: u32,
    /// Connections beyond `pool_size` under load. 0 to 10000, default 2.
    #[garde(custom(between(0, 10_000)), custom(sum_within_limit(self)))]
    pub max_overflow: u32,
    /// Time that a caller waits for a connection. 0.05 to 3600 s, default 30 s.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.05, 3600.0)))]
    pub pool_timeout: Duration,
    /// Age at which a connection is replaced, less up to a tenth of jitter. 1 to 86400 s, default 1800 s.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(1.0, 86400.0)))]
    pub pool_recycle: Duration,
    /// Time after which an idle connection is closed. 0.1 to 86400 s, default 240 s.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.1, 86400.0)))]
    pub pool_idle: Duration,
    /// Time that a connection beyond `pool_size` is kept after use. 0 to 3600 s, default 5 s.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.0, 3600.0)))]
    pub overflow_linger: Duration,
    /// Idle time after which a connection is validated before use. 0 to 3600 s, default 30 s.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.0, 3600.0)))]
    pub validate_after_idle: Duration,
    /// Time for connecting, login and set-up together. 0.1 to 300 s, default 15 s.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.1, 300.0)))]
    pub connect_timeout: Duration,
    /// Time for closing a connection before it is dropped. 0.1 to 300 s, default 5 s.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.1, 300.0)))]
    pub close_timeout: Duration,
    /// Time that callers wait for an unreachable server before they fail fast. 0 to 300 s, default 3 s.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.0, 300.0)))]
    pub unreachable_grace: Duration,
    /// Time after which the server cancels a statement. 0.001 to 86400 s, default 30 s.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.001, 86400.0)))]
    pub statement_timeout: Duration,
    /// Time after which the server ends an idle transaction. 0.001 to 86400 s, default 30 s.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.001, 86400.0)))]
    pub idle_in_transaction_timeout: Duration,
    /// Callers that may wait for a connection; the next one fails at once. 1 to 1000000, default 1000.
    #[garde(custom(between(1, 1_000_000)))]
    pub max_waiting: u32,
    /// The first part of `application_name`; instances are counted by it. 1 to 40 characters, default `app`.
    #[garde(custom(characters(1, 40)), custom(plain_name))]
    pub application_name: String,
    /// A PEM file with the authority that signed the server's certificate: makes TLS `verify-full`.
    #[garde(custom(readable_file))]
    pub root_certificate: Option<PathBuf>,
    /// Logs each statement with its duration. Default false.
    pub echo: bool,
    /// Logs the parameters of each statement too; they may hold personal data. Default false.
    pub echo_parameters: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::default(),
            password_file: None,
            password_command: None,
            strategy: Strategy::Pooled,
            pooler: Pooler::Auto,
            limit: 15,
            reserve: 2,
            instances: Instances::Auto,
            pool_size: 3,
            max_overflow: 2,
            pool_timeout: Duration::from_secs(30),
            pool_recycle: Duration::from_secs(1800),
            pool_idle: Duration::from_secs(240),
            overflow_linger: Duration::from_secs(5),
            validate_after_idle: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(15),
            close_timeout: Duration::from_secs(5),
            unreachable_grace: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(30),
            idle_in_transaction_timeout: Duration::from_secs(30),
            max_waiting: 1000,
            application_name: "app".to_owned(),
            root_certificate: None,
            echo: false,
            echo_parameters: false,
        }
    }
}

impl Settings {
    /// Makes settings for a URL, everything else as by default.
    ///
    /// # Errors
    /// [`SettingsError`] where the URL is malformed or of a kind that is not served.
    pub fn for_url(url: &str) -> Result<Self, SettingsError> {
        let url = url
            .parse()
            .map_err(|rule| SettingsError::new("database.url", "(hidden)", rule))?;
        Ok(Self {
            url,
            ..Self::default()
        })
    }

    /// Checks the range of each value and the rules between values.
    ///
    /// # Errors
    /// The first broken rule, with its key and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let Err(report) = Validate::validate(self) else {
            return Ok(());
        };
        let shown = serde_json::to_value(self).unwrap_or_default();
        let (field, rule) = report
            .iter()
            .next()
            .map(|(path, error)| (path.to_string(), error.message().to_owned()))
            .unwrap_or_default();
        Err(SettingsError::new(
            format!("database.{field}"),
            &shown[&field],
            rule,
        ))
    }

    /// Returns `limit - reserve`, if that bounds `pool_size` and `max_overflow`.
    fn usable(&self) -> Option<u32> {
        let usable = self.limit.checked_sub(self.reserve);
        usable.filter(|usable| *usable > 0 && self.strategy == Strategy::Pooled)
    }

    /// The most connections of this process whatever the number of instances.
    pub(crate) fn ceiling(&self) -> u32 {
        let usable = self.limit.saturating_sub(self.reserve).max(1);
        match self.strategy {
            Strategy::Pooled => usable.min(self.pool_size + self.max_overflow),
            Strategy::Fresh => usable,
        }
    }

    /// The mode, where no experiment is needed to know it.
    pub(crate) fn known_mode(&self) -> Option<PoolerMode> {
        match self.pooler {
            _ if !self.url.is_postgres() => Some(PoolerMode::Direct),
            Pooler::Auto => None,
            Pooler::Session => Some(PoolerMode::Session),
            Pooler::Transaction => Some(PoolerMode::Transaction),
            Pooler::Direct => Some(PoolerMode::Direct),
        }
    }
}

/// Says whether connections are kept.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Keeps connections between leases.
    Pooled,
    /// Opens one new connection for each lease and closes it after: bounded, unlike a null pool.
    Fresh,
}

/// Says what stands in front of PostgreSQL, as set by the owner.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooler {
    /// Found out by experiment before anything is set on a connection.
    Auto,
    /// A pooler that gives each client a server connection for as long as it stays.
    Session,
    /// A pooler that gives a server connection for one transaction.
    Transaction,
    /// Nothing.
    Direct,
}

/// Says what stands in front of PostgreSQL.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolerMode {
    /// Not known, or not yet: connections are used as in `transaction`, which is right in every mode.
    Unknown,
    /// A pooler that gives each client a server connection for as long as it stays.
    Session,
    /// A pooler that gives a server connection for one transaction.
    Transaction,
    /// Nothing.
    Direct,
}

impl PoolerMode {
    /// Returns whether a connection is known to keep its server process, with settings and named statements.
    pub fn keeps_sessions(self) -> bool {
        matches!(self, Self::Session | Self::Direct)
    }
}

impl From<PoolerMode> for Pooler {
    fn from(mode: PoolerMode) -> Self {
        match mode {
            PoolerMode::Unknown => Self::Auto,
            PoolerMode::Session => Self::Session,
            PoolerMode::Transaction => Self::Transaction,
            PoolerMode::Direct => Self::Direct,
        }
    }
}

/// Says how many instances share the limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Instances {
    /// Counted in `pg_stat_activity` by application name.
    Auto,
    /// A number the owner vouches for.
    Fixed(u32),
}

impl Serialize for Instances {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Fixed(number) => serializer.serialize_u32(*number),
        }
    }
}

impl<'de> Deserialize<'de> for Instances {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u32),
            Word(String),
        }
        let refuse = || serde::de::Error::custom("must be `auto` or a whole number of at least 1");
        match Written::deserialize(deserializer).map_err(|_| refuse())? {
            Written::Number(number) => Ok(Self::Fixed(number)),
            Written::Word(word) if word == "auto" => Ok(Self::Auto),
            Written::Word(word) => word.parse().map(Self::Fixed).map_err(|_| refuse()),
        }
    }
}

/// Names the setting that broke a rule, its value, and the rule.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{key} = {value}: {rule}")]
pub struct SettingsError {
    /// The key, as in the configuration file: `database.limit`.
    pub key: String,
    /// The value; secrets are hidden.
    pub value: String,
    /// The rule in words.
    pub rule: String,
}

impl SettingsError {
    pub(crate) fn new(key: impl Into<String>, value: impl ToString, rule: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: value.to_string(),
            rule: rule.into(),
        }
    }
}

fn only_one(settings: &Settings) -> impl FnOnce(&Option<String>, &()) -> garde::Result {
    let has_file = settings.password_file.is_some();
    move |command, ()| {
        require(
            command.is_none() || !has_file,
            "must not be combined with password_file: keep one",
        )
    }
}

fn possible_behind(pooler: Pooler) -> impl FnOnce(&Strategy, &()) -> garde::Result {
    move |strategy, ()| {
        require(
            pooler != Pooler::Transaction || *strategy != Strategy::Fresh,
            "must be `pooled` behind a transaction pooler, which assigns server connections itself",
        )
    }
}

fn below_limit(limit: u32) -> impl FnOnce(&u32, &()) -> garde::Result {
    move |reserve, ()| {
        require(
            *reserve < limit,
            format_args!("must be below the limit ({limit}), or no connection is left for the service"),
        )
    }
}

fn a_number_from_1(instances: &Instances, (): &()) -> garde::Result {
    let fits = match instances {
        Instances::Auto => true,
        Instances::Fixed(number) => (1..=10_000).contains(number),
    };
    require(fits, "must be `auto` or from 1 to 10000")
}

fn pool_size_within_limit(settings: &Settings) -> impl FnOnce(&u32, &()) -> garde::Result {
    let usable = settings.usable();
    move |pool_size, ()| {
        require(
            usable.is_none_or(|usable| *pool_size <= usable),
            format_args!("must be at most limit - reserve ({})", usable.unwrap_or_default()),
        )
    }
}

fn sum_within_limit(settings: &Settings) -> impl FnOnce(&u32, &()) -> garde::Result {
    let connections = settings.pool_size.saturating_add(settings.max_overflow);
    // A pool_size that is too large on its own has a separate error.
    let usable = settings.usable().filter(|usable| settings.pool_size <= *usable);
    move |_, ()| {
        require(
            usable.is_none_or(|usable| (1..=usable).contains(&connections)),
            format_args!(
                "pool_size + max_overflow ({connections}) must be from 1 to limit - reserve ({})",
                usable.unwrap_or_default()
            ),
        )
    }
}

fn plain_name(name: &str, (): &()) -> garde::Result {
    // The server shows any other character as `?`, and instances would not recognize each other.
    require(
        name.bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && byte != b'/'),
        "must be ASCII characters without `/`, which separates the instance",
    )
}

fn readable_file(file: &Option<PathBuf>, (): &()) -> garde::Result {
    match file.as_ref().map(std::fs::File::open) {
        Some(Err(error)) => require(false, format_args!("must be a file that can be read: {error}")),
        _ => Ok(()),
    }
}
