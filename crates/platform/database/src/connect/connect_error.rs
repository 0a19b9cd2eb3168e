//! What a failed opening means: the one place that knows the texts of poolers and servers.
//!
//! To teach PooledConnection another pooler, add a line to `TEXTS` with the words it really sends; the tests below
//! show where each line comes from.

use std::io;

use sqlx::Error as SqlxError;

use berth_pool::Outage;

/// What an error on the way to the server means for the next attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// The pooler or server is full: wait and try again.
    Full,
    /// The pooler turned this client away for a while: wait long.
    Banned,
    /// Nobody answers, or what answers is starting or stopping.
    Unreachable(Reason),
    /// The next attempt will fail for the same reason.
    Permanent(Reason),
    /// An error of a statement, not of the connection.
    Statement,
}

/// Why the database cannot be used, in config an operator can act on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing listens at the address.
    #[error("nothing accepts connections at the address")]
    NotListening,
    /// The host's name has no address.
    #[error("the host's name cannot be resolved")]
    UnknownHost,
    /// The address does not answer in time.
    #[error("the address does not answer in time")]
    NoAnswer,
    /// The connection breaks off.
    #[error("the connection breaks off")]
    BrokenOff,
    /// The server or pooler is starting, stopping, or has lost its own server.
    #[error("the server is starting or stopping")]
    StartingOrStopping,
    /// The user or password is wrong, or the server does not let this user in.
    #[error("the server does not accept the user or password")]
    Credentials,
    /// There is no such database.
    #[error("there is no such database")]
    UnknownDatabase,
    /// TLS is refused, or the server's certificate is not trusted.
    #[error("TLS is refused, or the server's certificate is not trusted")]
    Tls,
    /// The pooler does not understand a start-up parameter, or the file cannot be opened.
    #[error("these settings do not fit the server, or the file cannot be opened")]
    Settings,
    /// Too many failures made the pooler turn this client away.
    #[error("the pooler has turned this client away after too many failures")]
    Banned,
}

impl Reason {
    /// What callers are told while nothing else is known.
    pub fn outage(self) -> Outage {
        match self {
            Self::NotListening
            | Self::UnknownHost
            | Self::NoAnswer
            | Self::BrokenOff
            | Self::StartingOrStopping => Outage::Unreachable,
            Self::Credentials | Self::UnknownDatabase | Self::Tls | Self::Settings => Outage::Permanent,
            Self::Banned => Outage::Banned,
        }
    }
}

/// Words in a server's message, the SQLSTATE they come with (empty: any), and what they mean.
const TEXTS: &[(&str, &str, Class)] = &[
    ("XX000", "ECIRCUITBREAKER", Class::Banned),
    ("XX000", "MaxClientsInSessionMode", Class::Full),
    ("XX000", "EMAXCONN", Class::Full),
    ("XX000", "Max client connections reached", Class::Full),
    ("XX000", "ECHECKOUTTIMEOUT", Class::Full),
    ("XX000", "Unable to check out", Class::Full),
    (
        "XX000",
        "Tenant or user not found",
        Class::Permanent(Reason::Credentials),
    ),
    (
        "XX000",
        "no tenant identifier",
        Class::Permanent(Reason::Credentials),
    ),
    ("", "no more connections allowed", Class::Full),
    ("", "client connections exceeded", Class::Full),
    ("", "query_wait_timeout", Class::Full),
    (
        "",
        "server login has been failing",
        Class::Unreachable(Reason::StartingOrStopping),
    ),
    (
        "",
        "server shutting down",
        Class::Unreachable(Reason::StartingOrStopping),
    ),
    (
        "",
        "pooler is shut",
        Class::Unreachable(Reason::StartingOrStopping),
    ),
    (
        "08P01",
        "unsupported startup parameter",
        Class::Permanent(Reason::Settings),
    ),
    (
        "08P01",
        "authentication failed",
        Class::Permanent(Reason::Credentials),
    ),
    ("08P01", "no such user", Class::Permanent(Reason::Credentials)),
    (
        "08P01",
        "no such database",
        Class::Permanent(Reason::UnknownDatabase),
    ),
    ("08P01", "not allowed", Class::Permanent(Reason::Credentials)),
    ("08P01", "SSL required", Class::Permanent(Reason::Tls)),
];

/// SQLSTATEs that mean the same whatever the text.
const CODES: &[(&str, Class)] = &[
    ("53300", Class::Full),
    ("57P01", Class::Unreachable(Reason::StartingOrStopping)),
    ("57P02", Class::Unreachable(Reason::StartingOrStopping)),
    ("57P03", Class::Unreachable(Reason::StartingOrStopping)),
    ("28P01", Class::Permanent(Reason::Credentials)),
    ("28000", Class::Permanent(Reason::Credentials)),
    ("3D000", Class::Permanent(Reason::UnknownDatabase)),
    ("42501", Class::Permanent(Reason::Credentials)),
];

/// Tells what an error met while opening a connection means.
pub fn classify(error: &SqlxError) -> Class {
    match error {
        SqlxError::Database(database) => {
            classify_text(database.code().as_deref().unwrap_or_default(), database.message())
        }
        // rustls reports a certificate it does not trust as invalid data on the stream.
        SqlxError::Io(error) if error.kind() == io::ErrorKind::InvalidData => Class::Permanent(Reason::Tls),
        SqlxError::Io(error) => Class::Unreachable(reason_of(error)),
        SqlxError::Tls(_) => Class::Permanent(Reason::Tls),
        SqlxError::Configuration(_) | SqlxError::InvalidArgument(_) => Class::Permanent(Reason::Settings),
        // What is not understood is most often a stranger or half an answer on the port.
        SqlxError::Protocol(_) => Class::Unreachable(Reason::BrokenOff),
        _ => Class::Unreachable(Reason::BrokenOff),
    }
}

/// Tells what a code and message from a server or pooler mean.
pub fn classify_text(code: &str, message: &str) -> Class {
    let known = TEXTS
        .iter()
        .find(|(state, words, _)| (state.is_empty() || *state == code) && message.contains(words));
    if let Some((_, _, class)) = known {
        return *class;
    }
    if let Some((_, class)) = CODES.iter().find(|(state, _)| *state == code) {
        return *class;
    }
    match code {
        "08P01" | "08006" | "08003" | "08000" => Class::Unreachable(Reason::BrokenOff),
        _ if code.starts_with("57P") => Class::Unreachable(Reason::StartingOrStopping),
        _ => Class::Statement,
    }
}

/// Tells whether an error on a connection in use means that the connection is lost.
pub fn is_lost(error: &SqlxError) -> bool {
    match error {
        SqlxError::Io(_) | SqlxError::WorkerCrashed | SqlxError::Tls(_) => true,
        SqlxError::Database(database) => match database.code().as_deref() {
            Some("57P01" | "57P02" | "57P03" | "57P05" | "08006" | "08003" | "25P03") => true,
            // Whatever the code: a FATAL, the server's or a pooler's, ends the connection.
            _ => is_fatal(database.as_ref()),
        },
        _ => false,
    }
}

fn is_fatal(error: &dyn sqlx::error::DatabaseError) -> bool {
    use sqlx::postgres::{PgDatabaseError, PgSeverity};
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
    fn knows_the_texts_of_several_versions() {
        use Class::{Banned, Full, Permanent, Unreachable};
        let stopping = Unreachable(Reason::StartingOrStopping);
        for (code, message, class) in [
            // Supavisor until 2.8, lib/supavisor/client_handler.ex
            (
                "XX000",
                "MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited to pool_size",
                Full,
            ),
            // Supavisor 2.9
            (
                "XX000",
                "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15",
                Full,
            ),
            (
                "XX000",
                "(EMAXCONN) max client connections reached, limit: 200",
                Full,
            ),
            (
                "XX000",
                "(ECHECKOUTTIMEOUT) unable to check out connection from the pool after 60000ms",
                Full,
            ),
            (
                "XX000",
                "(ECIRCUITBREAKER) too many authentication errors, new connections are temporarily blocked",
                Banned,
            ),
            ("XX000", "Max client connections reached", Full),
            (
                "XX000",
                "Tenant or user not found",
                Permanent(Reason::Credentials),
            ),
            // PgBouncer 1.18 to 1.24, src/client.c and src/objects.c
            ("08P01", "no more connections allowed (max_client_conn)", Full),
            ("08P01", "client connections exceeded", Full),
            ("08P01", "query_wait_timeout", Full),
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
                Permanent(Reason::Settings),
            ),
            (
                "08P01",
                "SASL authentication failed",
                Permanent(Reason::Credentials),
            ),
            (
                "08P01",
                "no such database: nowhere",
                Permanent(Reason::UnknownDatabase),
            ),
            // PostgreSQL
            ("53300", "sorry, too many clients already", Full),
            (
                "53300",
                "remaining connection slots are reserved for roles with the SUPERUSER attribute",
                Full,
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
                Permanent(Reason::Credentials),
            ),
            (
                "3D000",
                "database \"nowhere\" does not exist",
                Permanent(Reason::UnknownDatabase),
            ),
            (
                "23505",
                "duplicate key value violates unique constraint",
                Class::Statement,
            ),
        ] {
            assert_eq!(classify_text(code, message), class, "{code} {message}");
        }
    }
}
