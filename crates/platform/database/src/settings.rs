//! What an owner may decide about connections, with the rules that keep the decisions sane.

pub(crate) mod url;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::url::DatabaseUrl;

/// No time in the settings may be longer: a year.
pub(crate) const LONGEST: Duration = Duration::from_secs(31_536_000);

/// Decides how many connections there may be, how long they live, and how long anybody waits.
///
/// Durations are written in seconds, fractions allowed. [`Settings::validate`] holds the rules; a
/// [`Database`](crate::Database) is never made of settings that break one.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the database is: `postgres://...` or `sqlite://path?mode=rwc`.
    pub url: DatabaseUrl,
    /// Keeps connections (`pooled`) or opens one for each lease (`fresh`).
    pub strategy: Strategy,
    /// What stands between this process and PostgreSQL; `auto` guesses from the URL.
    pub pooler: Pooler,
    /// The most clients the pooler or server admits at once, over all instances. Default 15.
    pub limit: u32,
    /// Connections of the limit left to others: migrations, psql, a newcomer's way in. Default 2.
    pub reserve: u32,
    /// How many instances share the limit: `auto` (counted in the server) or a number.
    pub instances: Instances,
    /// Connections kept open when idle, at most. Default 3.
    pub pool_size: u32,
    /// Connections beyond `pool_size` that may exist under load. Default 2.
    pub max_overflow: u32,
    /// The longest wait for a connection. Default 30 s.
    #[serde(with = "seconds")]
    pub pool_timeout: Duration,
    /// The age at which a connection is replaced, less up to a tenth of jitter. Default 1800 s.
    #[serde(with = "seconds")]
    pub pool_recycle: Duration,
    /// The time after which an unused connection is closed. Default 240 s.
    #[serde(with = "seconds")]
    pub pool_idle: Duration,
    /// How long a connection beyond `pool_size` stays after use. Default 5 s.
    #[serde(with = "seconds")]
    pub overflow_linger: Duration,
    /// Idle time after which a connection is checked before use. Default 30 s.
    #[serde(with = "seconds")]
    pub validate_after_idle: Duration,
    /// The longest an opening may take, its set-up included. Default 15 s.
    #[serde(with = "seconds")]
    pub connect_timeout: Duration,
    /// The longest a polite close may take before the connection is dropped. Default 5 s.
    #[serde(with = "seconds")]
    pub close_timeout: Duration,
    /// How long callers wait for a server that does not answer before they fail fast. Default 3 s.
    #[serde(with = "seconds")]
    pub unreachable_grace: Duration,
    /// The server ends a statement that runs longer. Default 30 s; 0 switches it off.
    #[serde(with = "seconds")]
    pub statement_timeout: Duration,
    /// The server ends a transaction that lies idle longer. Default 30 s; 0 switches it off.
    #[serde(with = "seconds")]
    pub idle_in_transaction_timeout: Duration,
    /// Callers that may wait for a connection at once; the next is answered at once. Default 1000.
    pub max_waiting: u32,
    /// The first part of `application_name`; instances are counted by it. Default `pooled`.
    pub application_name: String,
    /// A PEM file with the authority that signed the server's certificate: makes TLS `verify-full`.
    pub root_certificate: Option<PathBuf>,
    /// Logs each statement with its time. Default false.
    pub echo: bool,
    /// Logs each statement's parameters too; they may hold personal data. Default false.
    pub echo_parameters: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: DatabaseUrl::default(),
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
            application_name: "pooled".to_owned(),
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

    /// Checks every rule that one value or two together must keep.
    ///
    /// # Errors
    /// The first broken rule, with its key and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.validate_budget()?;
        self.validate_times()?;
        if self.pooler == Pooler::Transaction && self.strategy == Strategy::Fresh {
            return Err(SettingsError::new(
                "database.strategy",
                "fresh",
                "must be `pooled` behind a transaction pooler: it hands out servers by itself",
            ));
        }
        if self.application_name.is_empty()
            || self.application_name.len() > 40
            || self.application_name.contains('/')
            // The server shows anything else as `?`, and no instance would recognise another.
            || !self.application_name.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        {
            return Err(SettingsError::new(
                "database.application_name",
                &self.application_name,
                "must have 1 to 40 ASCII characters and no `/`, which sets the instance apart",
            ));
        }
        if let Some(file) = &self.root_certificate
            && let Err(error) = std::fs::File::open(file)
        {
            return Err(SettingsError::new(
                "database.root_certificate",
                file.display(),
                format!("must be a file that can be read: {error}"),
            ));
        }
        Ok(())
    }

    fn validate_budget(&self) -> Result<(), SettingsError> {
        let connections = self.pool_size.saturating_add(self.max_overflow);
        let rules = [
            (
                self.limit >= 1,
                "database.limit",
                self.limit,
                "must be at least 1".to_owned(),
            ),
            (
                self.reserve < self.limit,
                "database.reserve",
                self.reserve,
                format!(
                    "must be below the limit ({}), or nothing is left for the service",
                    self.limit
                ),
            ),
            (
                self.pool_size >= 1,
                "database.pool_size",
                self.pool_size,
                "must be at least 1".to_owned(),
            ),
            (
                connections <= self.limit,
                "database.max_overflow",
                self.max_overflow,
                format!(
                    "pool_size + max_overflow ({connections}) must not exceed the limit ({})",
                    self.limit
                ),
            ),
            (
                self.max_waiting >= 1,
                "database.max_waiting",
                self.max_waiting,
                "must be at least 1".to_owned(),
            ),
            (
                self.instances != Instances::Fixed(0),
                "database.instances",
                0,
                "must be `auto` or at least 1".to_owned(),
            ),
        ];
        match rules.into_iter().find(|(kept, ..)| !kept) {
            Some((_, key, value, rule)) => Err(SettingsError::new(key, value, rule)),
            None => Ok(()),
        }
    }

    fn validate_times(&self) -> Result<(), SettingsError> {
        let positive = [
            ("database.pool_timeout", self.pool_timeout),
            ("database.pool_recycle", self.pool_recycle),
            ("database.pool_idle", self.pool_idle),
            ("database.connect_timeout", self.connect_timeout),
            ("database.close_timeout", self.close_timeout),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, time)| time.is_zero()) {
            return Err(SettingsError::new(key, 0, "must be above 0 seconds"));
        }
        let others = [
            ("database.overflow_linger", self.overflow_linger),
            ("database.validate_after_idle", self.validate_after_idle),
            ("database.unreachable_grace", self.unreachable_grace),
            ("database.statement_timeout", self.statement_timeout),
            (
                "database.idle_in_transaction_timeout",
                self.idle_in_transaction_timeout,
            ),
        ];
        let mut all = positive.into_iter().chain(others);
        match all.find(|(_, time)| *time > LONGEST) {
            Some((key, time)) => Err(SettingsError::new(key, time.as_secs(), "must be at most a year")),
            None => Ok(()),
        }
    }

    /// The most connections of this process whatever the number of instances.
    pub(crate) fn ceiling(&self) -> u32 {
        let usable = self.limit.saturating_sub(self.reserve).max(1);
        match self.strategy {
            Strategy::Pooled => usable.min(self.pool_size + self.max_overflow),
            Strategy::Fresh => usable,
        }
    }

    /// How to reach PostgreSQL, for the rare connection outside the share: a migration's, a doctor's.
    ///
    /// # Errors
    /// The URL is not one of PostgreSQL's.
    pub fn postgres_options(&self) -> Result<sqlx::postgres::PgConnectOptions, sqlx::Error> {
        crate::connect::connector::postgres_options(self)
    }

    /// The mode in force: the one set, or the one guessed from the URL.
    pub fn pooler_mode(&self) -> PoolerMode {
        match self.pooler {
            Pooler::Auto => self.url.guess_pooler(),
            Pooler::Session => PoolerMode::Session,
            Pooler::Transaction => PoolerMode::Transaction,
            Pooler::Direct => PoolerMode::Direct,
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
    /// Guesses from the URL: port 6543 is a transaction pooler, a pooler's host a session pooler.
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
    /// A pooler that gives each client a server connection for as long as it stays.
    Session,
    /// A pooler that gives a server connection for one transaction.
    Transaction,
    /// Nothing.
    Direct,
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
    pub key: &'static str,
    /// The value; secrets are hidden.
    pub value: String,
    /// The rule in words.
    pub rule: String,
}

impl SettingsError {
    pub(crate) fn new(key: &'static str, value: impl ToString, rule: impl Into<String>) -> Self {
        Self {
            key,
            value: value.to_string(),
            rule: rule.into(),
        }
    }
}

/// Durations as numbers of seconds.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        match time.subsec_nanos() {
            0 => serializer.serialize_u64(time.as_secs()),
            _ => serializer.serialize_f64(time.as_secs_f64()),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        let refuse = || serde::de::Error::custom("must be a number of seconds from 0 to 31536000");
        let number = match Written::deserialize(deserializer).map_err(|_| refuse())? {
            Written::Number(number) => number,
            Written::Text(text) => text.trim().parse().map_err(|_| refuse())?,
        };
        if (0.0..=31_536_000.0).contains(&number) {
            Ok(Duration::from_secs_f64(number))
        } else {
            Err(refuse())
        }
    }
}
