//! The database URL: checked when read, masked when shown.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use berth_settings::{Secret, hidden};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

/// Holds a database URL whose password no `Debug`, `Display` or serialisation ever shows.
#[derive(Clone, PartialEq)]
pub struct DatabaseUrl {
    text: String,
    location: Location,
    /// Parameters of other tools, left out of the text.
    ignored: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Location {
    Postgres {
        url: Url,
        /// Where sqlx will connect to: parameters and the environment may overrule what stands before them.
        server: Server,
    },
    Sqlite {
        file: PathBuf,
        mode: SqliteMode,
    },
}

/// The `mode` of a SQLite URL.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum SqliteMode {
    Create,
    #[default]
    ReadWrite,
    ReadOnly,
}

/// A host and port, or a socket of this machine.
#[derive(Clone, Debug, PartialEq)]
struct Server {
    host: String,
    port: u16,
    is_socket: bool,
}

impl Default for DatabaseUrl {
    fn default() -> Self {
        let text = "sqlite://data/app.sqlite?mode=rwc".to_owned();
        let location = Location::Sqlite {
            file: "data/app.sqlite".into(),
            mode: SqliteMode::Create,
        };
        Self {
            text,
            location,
            ignored: Vec::new(),
        }
    }
}

impl DatabaseUrl {
    /// Tells whether it leads to PostgreSQL rather than SQLite.
    pub fn is_postgres(&self) -> bool {
        matches!(self.location, Location::Postgres { .. })
    }

    /// The whole URL, password included: for opening connections, never for showing.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Parameters of other tools in the URL that have no effect here, such as `pgbouncer`.
    pub fn ignored_parameters(&self) -> &[String] {
        &self.ignored
    }

    /// The file, where the database is SQLite.
    pub fn sqlite_file(&self) -> Option<&Path> {
        match &self.location {
            Location::Sqlite { file, .. } => Some(file),
            Location::Postgres { .. } => None,
        }
    }

    pub(crate) fn sqlite_mode(&self) -> SqliteMode {
        match self.location {
            Location::Sqlite { mode, .. } => mode,
            Location::Postgres { .. } => SqliteMode::default(),
        }
    }

    /// The TLS mode where neither the URL nor the environment names one: `verify-full` where they name a root
    /// certificate, else none to this machine and `require` elsewhere.
    pub(crate) fn ssl_mode(&self) -> Option<PgSslMode> {
        self.ssl_mode_in(|variable| std::env::var_os(variable).is_some())
    }

    fn ssl_mode_in(&self, environment: impl Fn(&str) -> bool) -> Option<PgSslMode> {
        let Location::Postgres { url, .. } = &self.location else {
            return None;
        };
        let named = |names: &[&str], variable| {
            environment(variable) || url.query_pairs().any(|(key, _)| names.contains(&&*key))
        };
        if named(&SSL_MODE, "PGSSLMODE") {
            return None;
        }
        Some(if named(&ROOT_CERTIFICATE, "PGSSLROOTCERT") {
            PgSslMode::VerifyFull
        } else if self.is_local() {
            PgSslMode::Disable
        } else {
            PgSslMode::Require
        })
    }

    pub(crate) fn is_local(&self) -> bool {
        let Location::Postgres { server, .. } = &self.location else {
            return true;
        };
        let host = server.host.trim_matches(['[', ']']);
        let loopback = host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
        server.is_socket || loopback || host == "localhost"
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let (location, ignored) = parse_postgres(text)?;
            let text = match &location {
                Location::Postgres { url, .. } if !ignored.is_empty() => url.to_string(),
                _ => text.to_owned(),
            };
            return Ok(Self {
                text,
                location,
                ignored,
            });
        }
        match text.strip_prefix("sqlite:") {
            Some(rest) => Ok(Self {
                text: text.to_owned(),
                location: parse_sqlite(rest.strip_prefix("//").unwrap_or(rest))?,
                ignored: Vec::new(),
            }),
            None => Err("must begin with postgres:// or sqlite://".to_owned()),
        }
    }
}

/// Said where a special character may have split the password.
const ENCODE: &str = "special characters in the user name and the password must be percent-encoded (# as %23, / as %2F, ? as %3F, @ as %40)";

/// Parameters that the driver understands.
const KNOWN: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// Parameters of other tools that change nothing here: libpq, Prisma, Neon and Supabase write them into their URLs.
const IGNORED: &[&str] = &[
    "channel_binding",
    "connect_timeout",
    "connection_limit",
    "gssencmode",
    "keepalives",
    "pgbouncer",
    "pool_timeout",
    "schema",
    "supa",
    "target_session_attrs",
    "workaround",
];

const ROOT_CERTIFICATE: [&str; 3] = ["sslrootcert", "ssl-root-cert", "ssl-ca"];
const SSL_MODE: [&str; 2] = ["sslmode", "ssl-mode"];

/// Parses a URL of PostgreSQL. No error quotes the URL: where a password was split, any part of it may be secret.
fn parse_postgres(text: &str) -> Result<(Location, Vec<String>), String> {
    refuse_split_password(text)?;
    let mut url = Url::parse(text).map_err(|error| format!("is not a valid URL ({error}); {ENCODE}"))?;
    let ignored = check_parameters(&url)?;
    check_tls(&url, |variable| std::env::var(variable).ok())?;
    if !ignored.is_empty() {
        // The driver would log them with their values.
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .into_owned()
            .filter(|(name, _)| !ignored.contains(name))
            .collect();
        url.query_pairs_mut().clear().extend_pairs(kept);
        if url.query() == Some("") {
            url.set_query(None);
        }
    }
    let elsewhere = url
        .query_pairs()
        .any(|(key, _)| key == "host" || key == "hostaddr");
    if url.host_str().unwrap_or_default().is_empty() && !elsewhere {
        return Err(format!("must name a host; {ENCODE}"));
    }
    let options =
        PgConnectOptions::from_str(url.as_str()).map_err(|error| format!("cannot be parsed: {error}"))?;
    let server = Server {
        host: options.get_host().to_owned(),
        port: options.get_port(),
        is_socket: options.get_socket().is_some() || options.get_host().starts_with('/'),
    };
    Ok((Location::Postgres { url, server }, ignored))
}

/// Refuses an unescaped `#`, `/`, `?` or `@` in a user name or password, which would end it.
fn refuse_split_password(text: &str) -> Result<(), String> {
    let (_, rest) = text.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let after = &rest[authority.len()..];
    let is_split = authority.matches('@').count() > 1 || after.contains('@') || after.contains('#');
    match is_split {
        true => Err(format!("contains an unescaped character; {ENCODE}")),
        false => Ok(()),
    }
}

/// Checks the parameters and returns the names of those that are ignored.
fn check_parameters(url: &Url) -> Result<Vec<String>, String> {
    let mut ignored = Vec::new();
    let mut seen = HashSet::new();
    for (name, _) in url.query_pairs() {
        let aliases = [SSL_MODE.as_slice(), ROOT_CERTIFICATE.as_slice()].into_iter();
        let mut aliases = aliases.filter(|aliases| aliases.contains(&&*name));
        let first_alias = aliases.next().map(|aliases| aliases[0].to_owned());
        // The driver takes the last: a second `sslmode` would switch off what the first asks for.
        if !seen.insert(first_alias.unwrap_or_else(|| name.to_string())) {
            return Err(format!("has the parameter `{name}` more than once"));
        }
        if IGNORED.contains(&&*name) {
            ignored.push(name.into_owned());
        } else if !KNOWN.contains(&&*name) && !name.starts_with("options[") {
            let meant = KNOWN
                .iter()
                .find(|known| known.replace(['-', '_'], "") == name.replace(['-', '_'], ""));
            let hint = meant.map_or_else(
                || format!("known are {}", KNOWN.join(", ")),
                |meant| format!("did you mean `{meant}`?"),
            );
            return Err(format!("has the unknown parameter `{name}`; {hint}"));
        }
    }
    Ok(ignored)
}

/// Refuses a root certificate without a mode that verifies it, each from a parameter or else from the environment.
fn check_tls(url: &Url, environment: impl Fn(&str) -> Option<String>) -> Result<(), String> {
    let value = |names: &[&str], variable| {
        let parameters = url.query_pairs().filter(|(name, _)| names.contains(&&**name));
        let value = parameters.last().map(|(_, value)| value.into_owned());
        value.or_else(|| environment(variable))
    };
    let certificate = value(&ROOT_CERTIFICATE, "PGSSLROOTCERT");
    match (value(&SSL_MODE, "PGSSLMODE"), certificate.as_deref()) {
        (_, Some("")) => Err(
            "has an empty root certificate (sslrootcert or PGSSLROOTCERT): name a file, or leave it out"
                .to_owned(),
        ),
        (Some(mode), Some(_)) if !mode.starts_with("verify-") => Err(format!(
            "has a root certificate (sslrootcert or PGSSLROOTCERT), which sslmode={mode} does not verify; use sslmode=verify-full"
        )),
        _ => Ok(()),
    }
}

fn parse_sqlite(rest: &str) -> Result<Location, String> {
    let (file, query) = rest.split_once('?').unwrap_or((rest, ""));
    if file.is_empty() || file.contains(":memory:") || query.contains("mode=memory") {
        return Err("must name a file: an in-memory database is private to one connection".to_owned());
    }
    let mut mode = SqliteMode::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair {
            "mode=rwc" => mode = SqliteMode::Create,
            "mode=rw" => mode = SqliteMode::ReadWrite,
            "mode=ro" => mode = SqliteMode::ReadOnly,
            other => {
                return Err(format!(
                    "has the unknown parameter `{other}`; known is mode=rwc|rw|ro"
                ));
            }
        }
    }
    Ok(Location::Sqlite {
        file: file.into(),
        mode,
    })
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Location::Sqlite { .. } => formatter.write_str(&self.text),
            Location::Postgres { url, .. } => {
                let mut shown = url.clone();
                if shown.password().is_some() {
                    // Fails only for URLs without a host, which have no password either.
                    let _ = shown.set_password(Some("***"));
                }
                let masked = shown.query_pairs().map(|(key, value)| match key.as_ref() {
                    "password" => (key.into_owned(), "***".to_owned()),
                    _ => (key.into_owned(), value.into_owned()),
                });
                let masked: Vec<_> = masked.collect();
                if !masked.is_empty() {
                    shown.query_pairs_mut().clear().extend_pairs(masked);
                }
                write!(formatter, "{shown}")
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DatabaseUrl({self})")
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Secret::deserialize(deserializer)?;
        text.reveal().parse().map_err(hidden)
    }
}

#[cfg(test)]
mod tests;
