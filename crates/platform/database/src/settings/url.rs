//! The database's address: checked when read, hidden when shown.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use berth_settings::{Secret, hidden};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::settings::PoolerMode;

/// Holds a database URL whose password no `Debug`, `Display` or serialisation ever shows.
#[derive(Clone, PartialEq)]
pub struct DatabaseUrl {
    text: String,
    location: Location,
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
        create: bool,
        read_only: bool,
    },
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
        let text = "sqlite://data/berth.sqlite?mode=rwc".to_owned();
        let location = Location::Sqlite {
            file: "data/berth.sqlite".into(),
            create: true,
            read_only: false,
        };
        Self { text, location }
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

    /// The file, where the database is SQLite.
    pub fn sqlite_file(&self) -> Option<&Path> {
        match &self.location {
            Location::Sqlite { file, .. } => Some(file),
            Location::Postgres { .. } => None,
        }
    }

    pub(crate) fn sqlite_modes(&self) -> (bool, bool) {
        match self.location {
            Location::Sqlite {
                create, read_only, ..
            } => (create, read_only),
            Location::Postgres { .. } => (false, false),
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
        let named = |names: [&str; 2], variable| {
            environment(variable) || url.query_pairs().any(|(key, _)| names.contains(&&*key))
        };
        if named(["sslmode", "ssl-mode"], "PGSSLMODE") {
            return None;
        }
        Some(if named(["sslrootcert", "ssl-root-cert"], "PGSSLROOTCERT") {
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

    /// What the address alone gives away of the pooler in front.
    pub(crate) fn guess_pooler(&self) -> PoolerMode {
        let Location::Postgres { server, .. } = &self.location else {
            return PoolerMode::Direct;
        };
        match server.port {
            6543 => PoolerMode::Transaction,
            6432 => PoolerMode::Session,
            _ if server.host.contains("pooler") || server.host.contains("pgbouncer") => PoolerMode::Session,
            _ => PoolerMode::Direct,
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let location = if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            parse_postgres(text)?
        } else if let Some(rest) = text.strip_prefix("sqlite:") {
            parse_sqlite(rest.strip_prefix("//").unwrap_or(rest))?
        } else {
            return Err("must begin with postgres:// or sqlite://".to_owned());
        };
        Ok(Self {
            text: text.to_owned(),
            location,
        })
    }
}

fn parse_postgres(text: &str) -> Result<Location, String> {
    let hint = "a password with special characters must be percent-encoded";
    let url = Url::parse(text).map_err(|error| format!("is no valid URL ({error}); {hint}"))?;
    let elsewhere = url.query_pairs().any(|(key, _)| key == "host");
    if url.host_str().unwrap_or_default().is_empty() && !elsewhere {
        return Err(format!("names no host; {hint}"));
    }
    let options = PgConnectOptions::from_str(text).map_err(|error| format!("is not understood: {error}"))?;
    let server = Server {
        host: options.get_host().to_owned(),
        port: options.get_port(),
        is_socket: options.get_socket().is_some() || options.get_host().starts_with('/'),
    };
    Ok(Location::Postgres { url, server })
}

fn parse_sqlite(rest: &str) -> Result<Location, String> {
    let (file, query) = rest.split_once('?').unwrap_or((rest, ""));
    if file.is_empty() || file.contains(":memory:") || query.contains("mode=memory") {
        return Err("must name a file: in memory each connection would be another database".to_owned());
    }
    let (mut create, mut read_only) = (false, false);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair {
            "mode=rwc" => create = true,
            "mode=rw" => {}
            "mode=ro" => read_only = true,
            other => {
                return Err(format!(
                    "has the unknown parameter `{other}`; known is mode=rwc|rw|ro"
                ));
            }
        }
    }
    Ok(Location::Sqlite {
        file: file.into(),
        create,
        read_only,
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
mod tests {
    use super::*;

    #[test]
    fn hides_the_password_wherever_it_is_shown() {
        let url: DatabaseUrl = "postgres://me:geheim@db.example:5432/app?password=geheim"
            .parse()
            .unwrap();
        let shown = format!("{url} {url:?} {}", serde_json::to_string(&url).unwrap());
        assert!(!shown.contains("geheim"), "{shown}");
        assert!(shown.contains("db.example"), "{shown}");
    }

    #[test]
    fn refuses_what_it_cannot_serve_and_says_why() {
        for (text, rule) in [
            ("mysql://h/d", "must begin with"),
            ("postgres://", "names no host"),
            ("postgres://me:p@ss:w@rd@/d", "percent-encoded"),
            ("sqlite::memory:", "must name a file"),
            ("sqlite://x.db?mode=memory", "must name a file"),
            ("sqlite://x.db?cache=shared", "unknown parameter"),
        ] {
            let error = text.parse::<DatabaseUrl>().unwrap_err();
            assert!(error.contains(rule), "{text}: {error}");
        }
    }

    #[test]
    fn guesses_the_pooler_from_port_and_host() {
        for (text, mode) in [
            (
                "postgres://u:p@aws-0-eu-central-1.pooler.supabase.com:6543/postgres",
                PoolerMode::Transaction,
            ),
            (
                "postgres://u:p@aws-0-eu-central-1.pooler.supabase.com:5432/postgres",
                PoolerMode::Session,
            ),
            (
                "postgres://u:p@db.abc.supabase.co:5432/postgres",
                PoolerMode::Direct,
            ),
            ("postgres://u:p@pgbouncer/app", PoolerMode::Session),
            ("postgres://u:p@db.example/app?port=6543", PoolerMode::Transaction),
        ] {
            assert_eq!(
                text.parse::<DatabaseUrl>().unwrap().guess_pooler(),
                mode,
                "{text}"
            );
        }
    }

    #[test]
    fn requires_tls_except_to_this_machine_or_when_the_url_decides() {
        let mode = |text: &str| text.parse::<DatabaseUrl>().unwrap().ssl_mode_in(|_| false);
        assert!(matches!(
            mode("postgres://u@db.example/x"),
            Some(PgSslMode::Require)
        ));
        assert!(matches!(
            mode("postgres://u@127.0.0.1/x"),
            Some(PgSslMode::Disable)
        ));
        assert!(matches!(mode("postgres://u@[::1]/x"), Some(PgSslMode::Disable)));
        assert!(mode("postgres://u@db.example/x?sslmode=disable").is_none());
        for elsewhere in ["host=db.example", "hostaddr=192.0.2.1"] {
            let text = format!("postgres://u@localhost/x?{elsewhere}");
            assert!(matches!(mode(&text), Some(PgSslMode::Require)), "{text}");
        }
        for here in [
            "postgres://u@%2fvar%2frun/x",
            "postgres://u@db.example/x?host=/var/run",
        ] {
            assert!(matches!(mode(here), Some(PgSslMode::Disable)), "{here}");
        }
    }

    #[test]
    fn whoever_names_a_mode_or_a_root_certificate_gets_no_less() {
        let mode = |text: &str, set: &str| {
            let url = text.parse::<DatabaseUrl>().unwrap();
            url.ssl_mode_in(|variable| variable == set)
        };
        for host in ["db.example", "localhost"] {
            let plain = format!("postgres://u@{host}/x");
            assert!(mode(&plain, "PGSSLMODE").is_none(), "sqlx reads it");
            let trusting = format!("{plain}?sslrootcert=ca.pem");
            for named in [mode(&plain, "PGSSLROOTCERT"), mode(&trusting, "")] {
                assert!(matches!(named, Some(PgSslMode::VerifyFull)), "{host}");
            }
        }
    }
}
