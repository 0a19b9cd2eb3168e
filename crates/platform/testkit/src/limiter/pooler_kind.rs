//! What poolers and servers say when they are full, word for word.

use std::borrow::Cow;
use std::time::Duration;

use super::wire;

/// An error with which a client is turned away.
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

    /// The refusal as an ErrorResponse.
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

/// Whose refusal the limiter speaks.
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
    /// Supavisor from 2.9 on, no server connection came free: `(ECHECKOUTTIMEOUT)`.
    SupavisorCheckout,
    /// Supavisor until 2.8, likewise: `Unable to check out connection`.
    SupavisorCheckoutOld,
    /// Supavisor from 2.9 on, after ten wrong passwords in 150 s: `(ECIRCUITBREAKER)`.
    SupavisorBanned,
    /// PgBouncer at its `max_client_conn`.
    PgBouncerClients,
    /// PgBouncer at its `max_db_client_connections`.
    PgBouncerDatabaseClients,
    /// PgBouncer at its pool's size: the client is let in and its first statement waits for a place, until
    /// this time is over and it gets `query_wait_timeout`.
    PgBouncerWait(Duration),
    /// PostgreSQL at its `max_connections`.
    Postgres,
    /// PostgreSQL while it starts: no refusal for want of places, for use with a limit of 0.
    PostgresStarting,
    /// Anything else.
    Other(Refusal, Phase),
}

impl PoolerKind {
    /// Every pooler_kind that turns a client away at once for want of a place.
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

    /// What a refused client is told where the limit is `limit`.
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

    /// When this one is usually sent.
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
