//! Classifies connection errors, such as the refusal of a full pooler, by the texts of poolers and servers.
//!
//! What is not in the tables is taken as transient: a pooler reports many conditions of its own in passing, and an
//! attempt that is repeated costs less than a service that gives up. Only what is listed counts as permanent.
//! To support another pooler, add a row with the words that it sends; the tests name the source of each text.

use std::io;
use std::time::Duration;

use berth_pool::{ConnectErrorKind, Outage};
use sqlx::Error as SqlxError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Why a connection attempt failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct ConnectError {
    /// What it means for the next attempt.
    pub kind: ConnectErrorKind,
    /// What an operator can do something about.
    pub reason: Reason,
}

impl ConnectError {
    /// The pooler or server is full: wait and try again.
    pub const FULL: Self = Self {
        kind: ConnectErrorKind::Full,
        reason: Reason::Full,
    };

    /// The server does not answer, or answers with an error that passes.
    pub const fn unreachable(reason: Reason) -> Self {
        Self {
            kind: ConnectErrorKind::Unreachable,
            reason,
        }
    }

    /// The next attempt will fail for the same reason.
    pub const fn permanent(reason: Reason) -> Self {
        Self {
            kind: ConnectErrorKind::Permanent,
            reason,
        }
    }

    /// The pooler blocks this client for this long.
    pub const fn banned(pause: Duration) -> Self {
        Self {
            kind: ConnectErrorKind::Banned(pause),
            reason: Reason::Banned,
        }
    }

    /// Returns whether the pooler or server is full.
    pub fn is_full(&self) -> bool {
        self.kind == ConnectErrorKind::Full
    }
}

/// Why the database cannot be used, in terms an operator can act on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Every connection that the server or pooler admits is taken.
    #[error("the server or pooler is full")]
    Full,
    /// Nothing listens at the address.
    #[error("nothing listens at the address")]
    NotListening,
    /// The host's name has no address.
    #[error("the host name cannot be resolved")]
    UnknownHost,
    /// The address does not answer in time.
    #[error("the server did not respond in time")]
    NoAnswer,
    /// The connection breaks off.
    #[error("the connection was closed before the login was complete")]
    BrokenOff,
    /// The server or pooler is starting, stopping, or has lost its own server.
    #[error("the server is starting or stopping")]
    StartingOrStopping,
    /// The server or pooler reports an error of its own, which may pass.
    #[error("the server or pooler reported an internal error")]
    ServerError,
    /// The server takes no writes: it was failed over, or its disk is full.
    #[error("the server is read-only")]
    ReadOnlyServer,
    /// The user or password is wrong, or the server does not let this user in.
    #[error("the server rejected the user or password")]
    Credentials,
    /// The server or pooler does not accept connections from this address.
    #[error("the server rejects connections from this address")]
    AddressNotAllowed,
    /// There is no such database.
    #[error("the database does not exist: create it with `createdb`, or correct the name in its URL")]
    UnknownDatabase,
    /// TLS is refused, or the server's certificate is not trusted.
    #[error("TLS is refused, or the server's certificate is not trusted")]
    Tls,
    /// The pooler does not accept a startup parameter, or the file cannot be opened.
    #[error("the server rejected a connection setting, or the file cannot be opened")]
    Settings,
    /// Too many failures made the pooler block this client.
    #[error("the pooler has blocked this address after too many failed logins")]
    Banned,
}

impl Reason {
    /// Returns the outage that callers are denied with while nothing else is known.
    pub fn outage(self) -> Outage {
        match self {
            Self::Full
            | Self::NotListening
            | Self::UnknownHost
            | Self::NoAnswer
            | Self::BrokenOff
            | Self::StartingOrStopping
            | Self::ServerError
            | Self::ReadOnlyServer => Outage::Unreachable,
            Self::Credentials
            | Self::AddressNotAllowed
            | Self::UnknownDatabase
            | Self::Tls
            | Self::Settings => Outage::Permanent,
            Self::Banned => Outage::Banned,
        }
    }
}

const FULL: ConnectError = ConnectError::FULL;
const STOPPING: ConnectError = ConnectError::unreachable(Reason::StartingOrStopping);
const CREDENTIALS: ConnectError = ConnectError::permanent(Reason::Credentials);
/// Supavisor 2.9 blocks 120 s after 10 failed authentications, 30 s after 5 failures of its own login
/// (`lib/supavisor/circuit_breaker.ex`).
const BLOCKED_CLIENT: ConnectError = ConnectError::banned(Duration::from_secs(120));
const BLOCKED_SERVER: ConnectError = ConnectError::banned(Duration::from_secs(30));
/// Five failed authentication queries within 300 s make Supavisor block for 30 s: attempts stay below that.
const SLOW_PROBES: ConnectError = ConnectError::banned(Duration::from_secs(75));

/// How many characters of an answer are kept.
const LONGEST_ANSWER: usize = 500;

/// The SQLSTATE (empty: any), words that the message contains, and what they mean. The first match counts.
const TEXTS: &[(&str, &[&str], ConnectError)] = &[
    ("XX000", &["ECIRCUITBREAKER", "database"], BLOCKED_SERVER),
    ("XX000", &["ECIRCUITBREAKER"], BLOCKED_CLIENT),
    ("XX000", &["MaxClientsInSessionMode"], FULL),
    ("XX000", &["EMAXCONN"], FULL),
    ("XX000", &["Max client connections reached"], FULL),
    ("XX000", &["EMAXPOOLSREACHED"], FULL),
    ("XX000", &["ECHECKOUTTIMEOUT"], FULL),
    ("XX000", &["ECHECKOUTRETRIES"], FULL),
    ("XX000", &["EPOOLCHECKOUT"], FULL),
    ("XX000", &["nable to check out"], FULL),
    ("XX000", &["EAUTHQUERY", "user not found"], CREDENTIALS),
    ("XX000", &["EAUTHQUERY"], SLOW_PROBES),
    ("XX000", &["EAUTHSECRETS"], SLOW_PROBES),
    ("XX000", &["ENOTFOUND"], CREDENTIALS),
    ("XX000", &["Tenant or user not found"], CREDENTIALS),
    ("XX000", &["no tenant identifier"], CREDENTIALS),
    ("XX000", &["EINVALIDUSERINFO"], CREDENTIALS),
    ("XX000", &["EMULTIPLEUSERS"], CREDENTIALS),
    (
        "XX000",
        &["EADDRNOTALLOWED"],
        ConnectError::permanent(Reason::AddressNotAllowed),
    ),
    (
        "XX000",
        &["EBANNED"],
        ConnectError::permanent(Reason::AddressNotAllowed),
    ),
    ("XX000", &["ESSLREQUIRED"], ConnectError::permanent(Reason::Tls)),
    ("", &["no more connections allowed"], FULL),
    ("", &["client connections exceeded"], FULL),
    ("", &["query_wait_timeout"], FULL),
    ("", &["server login has been failing"], STOPPING),
    ("", &["server shutting down"], STOPPING),
    ("", &["pooler is shut"], STOPPING),
    (
        "08P01",
        &["unsupported startup parameter"],
        ConnectError::permanent(Reason::Settings),
    ),
    ("08P01", &["authentication failed"], CREDENTIALS),
    ("08P01", &["no such user"], CREDENTIALS),
    (
        "08P01",
        &["no such database"],
        ConnectError::permanent(Reason::UnknownDatabase),
    ),
    ("08P01", &["not allowed"], CREDENTIALS),
    ("08P01", &["SSL required"], ConnectError::permanent(Reason::Tls)),
];

/// SQLSTATEs that mean the same whatever the text.
const CODES: &[(&str, ConnectError)] = &[
    ("53300", FULL),
    ("53400", FULL),
    ("57P01", STOPPING),
    ("57P02", STOPPING),
    ("57P03", STOPPING),
    ("28P01", CREDENTIALS),
    ("28000", CREDENTIALS),
    ("3D000", ConnectError::permanent(Reason::UnknownDatabase)),
];

/// Returns what an error met while connecting means.
pub fn classify(error: &SqlxError) -> ConnectError {
    match error {
        // A role without the right to connect; as a statement's own error it says nothing of the login.
        SqlxError::Database(database) if database.code().as_deref() == Some("42501") && is_fatal(error) => {
            CREDENTIALS
        }
        // SQLite cannot open the file.
        SqlxError::Database(database) if database.try_downcast_ref::<PgDatabaseError>().is_none() => {
            ConnectError::permanent(Reason::Settings)
        }
        SqlxError::Database(database) => {
            classify_text(database.code().as_deref().unwrap_or_default(), database.message())
        }
        // rustls reports a certificate it does not trust as invalid data on the stream.
        SqlxError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            ConnectError::permanent(Reason::Tls)
        }
        SqlxError::Io(error) => ConnectError::unreachable(reason_of(error)),
        SqlxError::Tls(_) => ConnectError::permanent(Reason::Tls),
        SqlxError::Configuration(_) | SqlxError::InvalidArgument(_) => {
            ConnectError::permanent(Reason::Settings)
        }
        // Most often another program on the port, or half an answer.
        _ => ConnectError::unreachable(Reason::BrokenOff),
    }
}

/// Returns what a code and message from a server or pooler mean while connecting.
pub fn classify_text(code: &str, message: &str) -> ConnectError {
    let known = TEXTS.iter().find(|(state, words, _)| {
        (state.is_empty() || *state == code) && words.iter().all(|words| message.contains(words))
    });
    if let Some((_, _, error)) = known {
        return *error;
    }
    if let Some((_, error)) = CODES.iter().find(|(state, _)| *state == code) {
        return *error;
    }
    match code {
        "08P01" | "08006" | "08003" | "08000" => ConnectError::unreachable(Reason::BrokenOff),
        _ if code.starts_with("57P") => STOPPING,
        _ => ConnectError::unreachable(Reason::ServerError),
    }
}

/// Returns the words of the server or pooler, or the driver's where it gave no answer. For operators: they may name hosts
/// and users.
pub(crate) fn answer(error: &SqlxError) -> String {
    match error {
        SqlxError::Database(database) => database.message().chars().take(LONGEST_ANSWER).collect(),
        other => other.to_string(),
    }
}

/// Returns whether a refusal says that the pooler works in session mode.
pub(crate) fn names_session_mode(error: &SqlxError) -> bool {
    let message = error.as_database_error().map(|error| error.message());
    message.is_some_and(|message| {
        message.contains("MaxClientsInSessionMode") || message.contains("EMAXCONNSESSION")
    })
}

/// What the loss of a connection in use says about the connections beside it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Loss {
    /// The server ended this session by a rule about sessions; the others are as good as before.
    ThisConnection,
    /// The server or the way to it may be gone: connections that were idle at that time are suspect.
    MaybeAll,
}

/// Returns what an error on a connection in use means for it; none where the connection goes on.
///
/// A connection is lost by a failure of its socket or by an error of severity FATAL or PANIC. An ERROR is the
/// statement's own whatever its code: postgres_fdw, dblink and RAISE report 08006 or 57P01 of another server.
pub(crate) fn loss(error: &SqlxError) -> Option<Loss> {
    match error {
        SqlxError::Io(_) | SqlxError::WorkerCrashed | SqlxError::Tls(_) => Some(Loss::MaybeAll),
        SqlxError::Database(database) if is_fatal(error) => Some(match database.code().as_deref() {
            // idle_in_transaction_session_timeout, transaction_timeout, idle_session_timeout
            Some("25P03" | "25P04" | "57P05") => Loss::ThisConnection,
            _ => Loss::MaybeAll,
        }),
        _ => None,
    }
}

/// Returns whether an error on a connection in use means that the connection is lost.
pub fn is_lost(error: &SqlxError) -> bool {
    loss(error).is_some()
}

fn is_fatal(error: &SqlxError) -> bool {
    let SqlxError::Database(error) = error else {
        return false;
    };
    error
        .try_downcast_ref::<PgDatabaseError>()
        .is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

fn reason_of(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Reason::NotListening,
        io::ErrorKind::TimedOut => Reason::NoAnswer,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            Reason::BrokenOff
        }
        // The resolver's failures have no kind of their own.
        _ if error.to_string().contains("lookup address") => Reason::UnknownHost,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Reason::NoAnswer,
        _ => Reason::BrokenOff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifies_the_texts_of_several_versions() {
        use ConnectError as E;
        let blocked = |seconds| E::banned(Duration::from_secs(seconds));
        let passing = E::unreachable(Reason::ServerError);
        let stopping = E::unreachable(Reason::StartingOrStopping);
        for (code, message, expected) in [
            // Supavisor until 2.8, lib/supavisor/client_handler.ex
            (
                "XX000",
                "MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited to pool_size",
                E::FULL,
            ),
            // Supavisor 2.9
            (
                "XX000",
                "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15",
                E::FULL,
            ),
            (
                "XX000",
                "(EMAXCONN) max client connections reached, limit: 200",
                E::FULL,
            ),
            (
                "XX000",
                "(ECHECKOUTTIMEOUT) unable to check out connection from the pool after 60000ms",
                E::FULL,
            ),
            (
                "XX000",
                "(ECIRCUITBREAKER) too many authentication failures, new connections are temporarily blocked",
                blocked(120),
            ),
            (
                "XX000",
                "(ECIRCUITBREAKER) failed to retrieve database credentials after multiple attempts, new connections are temporarily blocked",
                blocked(30),
            ),
            (
                "XX000",
                "(ECIRCUITBREAKER) too many failed attempts to connect to the database, new connections are temporarily blocked",
                blocked(30),
            ),
            ("XX000", "(EMAXPOOLSREACHED) max pools count reached", E::FULL),
            (
                "XX000",
                "(ECHECKOUTRETRIES) checkout failed after retries",
                E::FULL,
            ),
            (
                "XX000",
                "(EPOOLCHECKOUT) failed to check out a connection",
                E::FULL,
            ),
            (
                "XX000",
                "(ENOTFOUND) tenant/user app.project not found",
                E::permanent(Reason::Credentials),
            ),
            (
                "XX000",
                "(EINVALIDUSERINFO) invalid user info",
                E::permanent(Reason::Credentials),
            ),
            (
                "XX000",
                "(EMULTIPLEUSERS) multiple users found",
                E::permanent(Reason::Credentials),
            ),
            (
                "XX000",
                "(EADDRNOTALLOWED) address not in tenant allow_list: {1, 2, 3, 4}",
                E::permanent(Reason::AddressNotAllowed),
            ),
            (
                "XX000",
                "(EBANNED) this address is banned",
                E::permanent(Reason::AddressNotAllowed),
            ),
            (
                "XX000",
                "(ESSLREQUIRED) SSL connection is required",
                E::permanent(Reason::Tls),
            ),
            (
                "XX000",
                "(EAUTHQUERY) authentication query failed: timeout",
                blocked(75),
            ),
            (
                "XX000",
                "(EAUTHQUERY) authentication query failed: user not found in pg_shadow",
                E::permanent(Reason::Credentials),
            ),
            ("XX000", "(EAUTHSECRETS) secrets not available", blocked(75)),
            ("XX000", "(EDBHANDLEREXITED) DbHandler exited", passing),
            (
                "XX000",
                "(ESUBSCRIBERETRIES) failed to subscribe after retries",
                passing,
            ),
            ("XX000", "(EPROXYSTARTFAILED) proxy start failed", passing),
            // Neon
            ("XX000", "endpoint is in transition, please retry", passing),
            ("XXXXX", "a text that is not in the table", passing),
            ("XX000", "Max client connections reached", E::FULL),
            (
                "XX000",
                "Tenant or user not found",
                E::permanent(Reason::Credentials),
            ),
            // PgBouncer 1.18 to 1.24, src/client.c and src/objects.c
            ("08P01", "no more connections allowed (max_client_conn)", E::FULL),
            ("08P01", "client connections exceeded", E::FULL),
            ("08P01", "query_wait_timeout", E::FULL),
            (
                "08P01",
                "server login has been failing, try again later (server_login_retry)",
                stopping,
            ),
            ("08P01", "server shutting down", stopping),
            ("08P01", "pooler is shut down", stopping),
            (
                "08P01",
                "unsupported startup parameter: extra_float_digits",
                E::permanent(Reason::Settings),
            ),
            (
                "08P01",
                "SASL authentication failed",
                E::permanent(Reason::Credentials),
            ),
            (
                "08P01",
                "no such database: nowhere",
                E::permanent(Reason::UnknownDatabase),
            ),
            // PostgreSQL
            ("53300", "sorry, too many clients already", E::FULL),
            ("53400", "configuration limit exceeded: connection rate", E::FULL),
            ("53000", "insufficient resources", passing),
            (
                "53100",
                "could not write init file: No space left on device",
                passing,
            ),
            ("53200", "out of memory", passing),
            (
                "53300",
                "remaining connection slots are reserved for roles with the SUPERUSER attribute",
                E::FULL,
            ),
            ("57P03", "the database system is starting up", stopping),
            (
                "57P01",
                "terminating connection due to administrator command",
                stopping,
            ),
            (
                "28P01",
                "password authentication failed for user \"me\"",
                E::permanent(Reason::Credentials),
            ),
            (
                "3D000",
                "database \"nowhere\" does not exist",
                E::permanent(Reason::UnknownDatabase),
            ),
        ] {
            assert_eq!(classify_text(code, message), expected, "{code} {message}");
        }
    }
}
