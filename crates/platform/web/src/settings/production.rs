//! Settings that are allowed in production but rarely intended.

use berth_auth::Mode;
use berth_mail::{Tls, TransportKind};

use super::{Environment, Settings};

/// A setting that exposes a public service or risks its data.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProductionWarning {
    /// What the setting does.
    pub says: &'static str,
    /// What to set instead.
    pub change: &'static str,
}

impl Settings {
    /// Returns the settings to reconsider in production; none in other environments.
    pub fn production_warnings(&self) -> Vec<ProductionWarning> {
        let is_public = self.app.environment == Environment::Production;
        let logs_much = ["debug", "trace"]
            .iter()
            .any(|level| self.log.level.contains(level));
        let local =
            |origin: &String| origin == "*" || origin.contains("//localhost") || origin.contains("//127.");
        let warnings = [
            (
                !self.database.url.is_postgres(),
                "the database is a SQLite file on this machine, for one process",
                "set DATABASE_URL to a PostgreSQL database, or keep the file on a volume with backups",
            ),
            (
                self.cors.origins.iter().any(local),
                "pages from any origin, or from a developer's machine, may call the service",
                "set cors.origins to the origins of your own pages",
            ),
            (
                !self.rate_limit.enabled,
                "requests are not rate limited",
                "set rate_limit.enabled, or limit clients in a proxy",
            ),
            (
                self.rate_limit.enabled
                    && self.server.trusted_proxies.is_empty()
                    && !self.server.host.is_loopback()
                    && self.security_headers.hsts_max_age.is_zero(),
                "no proxy is trusted, so clients behind one share a single quota, and browsers are not told to use \
                 HTTPS",
                "behind a proxy set server.trusted_proxies to its network, and where it ends TLS \
                 security_headers.hsts_max_age",
            ),
            (
                self.auth.mode == Mode::Local && self.mail.transport == TransportKind::Log,
                "mails are written to the log, with the links that reset passwords, and not sent",
                "set mail.transport to \"smtp\", and mail.host, mail.user and mail.password",
            ),
            (
                self.mail.transport == TransportKind::Smtp && self.mail.tls == Tls::None,
                "mails travel to the SMTP server readable",
                "set mail.tls to \"starttls\" or \"implicit\"",
            ),
            (
                self.auth.mode == Mode::Local && self.app.public_url.is_none(),
                "links in mails lead to this machine",
                "set app.public_url to the address at which users reach the service or its pages",
            ),
            (
                logs_much || self.database.echo_parameters,
                "the log may contain users' data",
                "set log.level to \"info\" and database.echo_parameters to false",
            ),
        ];
        let warnings = warnings.into_iter().filter(|(applies, ..)| is_public && *applies);
        warnings
            .map(|(_, says, change)| ProductionWarning { says, change })
            .collect()
    }
}
