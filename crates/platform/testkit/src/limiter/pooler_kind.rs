//! The refusals of poolers and servers, with their exact texts.

use std::borrow::Cow;
use std::time::Duration;

use super::wire;

/// An error that refuses a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The SQLSTATE.
    pub code: Cow<'static, str>,
    /// The text.
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with this SQLSTATE and text; its severity is FATAL, as that of all of them.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Refusal {
            code: code.into(),
            message: message.into(),
        }
    }

    /// Returns the refusal as an ErrorResponse.
    pub(super) fn encode(&self) -> Vec<u8> {
        wire::error("FATAL", &self.code, &self.message)
    }
}

/// When a refusal is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Right after the startup packet.
    BeforeAuthentication,
    /// After AuthenticationOk.
    AfterAuthentication,
}

/// Which pooler's refusal the limiter sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolerKind {
    /// Supavisor 1.1.70 to 2.8: `MaxClientsInSessionMode`.
    SupavisorSession,
    /// Supavisor from 2.9 on: `(EMAXCONNSESSION)`.
    SupavisorSessionCoded,
    /// Supavisor from 2.9 on, the limit of all clients: `(EMAXCONN)`.
    SupavisorClients,
    /// Supavisor before: `Max client connections reached`.
    SupavisorOld,
    /// Supavisor from 2.9 on, no server connection became free: `(ECHECKOUTTIMEOUT)`.
    SupavisorCheckout,
    /// Supavisor until 2.8, likewise: `Unable to check out connection`.
    SupavisorCheckoutOld,
    /// Supavisor from 2.9 on, after ten wrong passwords in 150 s: `(ECIRCUITBREAKER)`.
    SupavisorBanned,
    /// PgBouncer at its `max_client_conn`.
    PgBouncerClients,
    /// PgBouncer at its `max_db_client_connections`.
    PgBouncerDatabaseClients,
    /// PgBouncer at its pool's size: the client logs in and its first statement waits for a slot, at most this
    /// long, and fails with `query_wait_timeout`.
    PgBouncerWait(Duration),
    /// PostgreSQL at its `max_connections`.
    Postgres,
    /// PostgreSQL while it starts, for use with a limit of 0.
    PostgresStarting,
    /// Another error.
    Other(Refusal, Phase),
}

impl PoolerKind {
    /// Every kind that refuses a client at once when no slot is free.
    pub const REFUSALS: [PoolerKind; 9] = [
        PoolerKind::SupavisorSession,
        PoolerKind::SupavisorSessionCoded,
        PoolerKind::SupavisorClients,
        PoolerKind::SupavisorOld,
        PoolerKind::SupavisorCheckout,
        PoolerKind::SupavisorCheckoutOld,
        PoolerKind::PgBouncerClients,
        PoolerKind::PgBouncerDatabaseClients,
        PoolerKind::Postgres,
    ];

    /// Returns the error for a limit of `limit`.
    ///
    /// The texts are those of the sources of Supavisor 2.9.7 (`lib/supavisor/errors`) and of the parent of its
    /// commit 71eb86b7 (`client_handler/error.ex`), of PgBouncer (`client.c`, `janitor.c`) and of PostgreSQL.
    pub fn refusal(&self, limit: usize) -> Refusal {
        let coded = |text: String| Refusal::new("XX000", text);
        match self {
            PoolerKind::SupavisorSession => Refusal::new(
                "XX000",
                "MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited to pool_size",
            ),
            PoolerKind::SupavisorSessionCoded => coded(format!(
                "(EMAXCONNSESSION) max clients reached in session mode - \
                 max clients are limited to pool_size: {limit}"
            )),
            PoolerKind::SupavisorClients => coded(format!(
                "(EMAXCONN) max client connections reached, limit: {limit}"
            )),
            PoolerKind::SupavisorOld => Refusal::new("XX000", "Max client connections reached"),
            PoolerKind::SupavisorCheckout => Refusal::new(
                "XX000",
                "(ECHECKOUTTIMEOUT) unable to check out connection from the pool after 60000ms in Session mode",
            ),
            PoolerKind::SupavisorCheckoutOld => Refusal::new(
                "XX000",
                "Unable to check out connection from the pool due to timeout",
            ),
            PoolerKind::SupavisorBanned => Refusal::new(
                "XX000",
                "(ECIRCUITBREAKER) too many authentication failures, new connections are temporarily blocked",
            ),
            PoolerKind::PgBouncerClients => {
                Refusal::new("08P01", "no more connections allowed (max_client_conn)")
            }
            PoolerKind::PgBouncerDatabaseClients => {
                Refusal::new("08P01", "client connections exceeded (max_db_client_connections)")
            }
            PoolerKind::PgBouncerWait(_) => Refusal::new("08P01", "query_wait_timeout"),
            PoolerKind::Postgres => Refusal::new("53300", "sorry, too many clients already"),
            PoolerKind::PostgresStarting => Refusal::new("57P03", "the database system is starting up"),
            PoolerKind::Other(refusal, _) => refusal.clone(),
        }
    }

    /// Returns when the pooler sends it.
    pub fn phase(&self) -> Phase {
        match self {
            PoolerKind::SupavisorCheckout
            | PoolerKind::SupavisorCheckoutOld
            | PoolerKind::PgBouncerWait(_) => Phase::AfterAuthentication,
            PoolerKind::Other(_, phase) => *phase,
            _ => Phase::BeforeAuthentication,
        }
    }
}
