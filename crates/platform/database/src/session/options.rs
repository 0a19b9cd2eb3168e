//! Options of a session: label, deadline, priority, isolation, role.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

use berth_pool::Priority;
use sea_orm::IsolationLevel;

/// Says how a session ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Keeps what was done.
    Commit,
    /// Undoes what was not committed.
    Rollback,
}

/// Says what a session is for and what travels with its transactions.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    pub(super) label: Cow<'static, str>,
    pub(super) request_id: Option<String>,
    pub(super) autocommit: Autocommit,
    pub(super) priority: Priority,
    pub(super) deadline: Option<Duration>,
    pub(super) isolation: Option<IsolationLevel>,
    pub(super) read_only: bool,
    pub(super) role: Option<Role>,
}

/// Which statements are sent outside a transaction where none is open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Autocommit {
    Off,
    Reads,
    All,
}

/// A role and its claims. The claims are personal data, and often half of a credential: they are shown nowhere.
#[derive(Clone)]
pub(super) struct Role {
    pub(super) name: String,
    pub(super) claims: String,
}

impl fmt::Debug for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Role")
            .field(&self.name)
            .finish_non_exhaustive()
    }
}

impl SessionOptions {
    /// Names the route or job, which status pages and logs show.
    pub fn new(label: impl Into<Cow<'static, str>>) -> Self {
        Self {
            label: label.into(),
            request_id: None,
            autocommit: Autocommit::Off,
            priority: Priority::Request,
            deadline: None,
            isolation: None,
            read_only: false,
            role: None,
        }
    }

    /// The options of the session that reads a streaming body after the one with these has ended.
    pub(super) fn for_streaming(&self) -> Self {
        Self {
            request_id: self.request_id.clone(),
            role: self.role.clone(),
            ..Self::new(self.label.clone()).autocommit_reads()
        }
    }

    /// Names the request, which status pages and logs show.
    #[must_use]
    pub fn request_id(self, id: impl Into<String>) -> Self {
        Self {
            request_id: Some(id.into()),
            ..self
        }
    }

    /// Sends plain SELECTs bare until a statement of another kind begins a transaction.
    #[must_use]
    pub fn autocommit_reads(self) -> Self {
        Self {
            autocommit: Autocommit::Reads,
            ..self
        }
    }

    /// Sends each lone statement bare, outside a transaction, and releases the connection after it: for VACUUM, CALL of a
    /// procedure that commits, CREATE INDEX CONCURRENTLY, and code that expects a connection of SeaORM's own.
    ///
    /// What a statement did is stored when it returns, and [`commit`](crate::Session::commit) finds nothing to do. A
    /// transaction is what `begin` returns; its `commit` stores it. A lone statement that is not a plain SELECT is never
    /// sent twice: where its connection is lost, whether it was stored is unknown. `statement_timeout` bounds it as any
    /// other. Session settings, locks and temporary tables of one statement do not reach the next.
    ///
    /// With a role, an isolation level or `read_only`, which BEGIN carries, each lone statement has a transaction of its
    /// own, which is committed after it: statements that refuse to run in a transaction fail. Behind a transaction pooler
    /// the same holds, but for `execute_unprepared` without such options: it goes bare, as one message, under the
    /// server's own `statement_timeout`.
    #[must_use]
    pub fn autocommit(self) -> Self {
        Self {
            autocommit: Autocommit::All,
            ..self
        }
    }

    /// Queues behind requests and leaves them a slot; after 5 s of waiting it gets one turn.
    #[must_use]
    pub fn background(self) -> Self {
        Self {
            priority: Priority::Background,
            ..self
        }
    }

    /// Bounds the whole session: queue, connection attempt and statements. BEGIN sets it on the server.
    ///
    /// Without one a statement is waited for as long as the server lets it run (`statement_timeout`) and
    /// `pool_timeout` longer: then the connection counts as lost. Raw code, and a transaction that changes
    /// `statement_timeout`, are waited for without end.
    #[must_use]
    pub fn deadline(self, after: Duration) -> Self {
        Self {
            deadline: Some(after),
            ..self
        }
    }

    /// Sets the isolation level of its transactions.
    #[must_use]
    pub fn isolation(self, level: IsolationLevel) -> Self {
        Self {
            isolation: Some(level),
            ..self
        }
    }

    /// Makes its transactions read only. On SQLite they run beside a writer.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self {
            read_only: true,
            ..self
        }
    }

    /// Takes a role and its claims for row-level security, as PostgREST and Supabase do: `set local
    /// role` and the setting `request.jwt.claims`, in BEGIN's own round trip. PostgreSQL only: SQLite ignores it.
    ///
    /// Each plain read of a session with [`autocommit_reads`](Self::autocommit_reads) has a transaction of its own, whose
    /// end is not waited for: two round trips, and nothing held between statements. The claims appear in no log, span,
    /// status page or error.
    ///
    /// Statements fail with [`Error::RoleRefused`](crate::Error::RoleRefused) for a role that the server refuses, and for
    /// one that it would not take as written: `none` means no role to it, quoted or not, and names are cut at 63 bytes.
    #[must_use]
    pub fn role(self, role: impl Into<String>, claims: serde_json::Value) -> Self {
        Self {
            role: Some(Role {
                name: role.into(),
                claims: claims.to_string(),
            }),
            ..self
        }
    }

    /// The deadline as a moment; none where no clock reaches that far.
    pub(super) fn deadline_from(&self, now: Instant) -> Option<Instant> {
        self.deadline.and_then(|after| now.checked_add(after))
    }

    /// Whether each plain read has a transaction of its own, which carries the role.
    pub(super) fn reads_with_role(&self) -> bool {
        self.autocommit == Autocommit::Reads
            && self.role.is_some()
            && self.isolation.is_none()
            && !self.read_only
    }

    /// Whether statements need a transaction to carry their settings.
    pub(super) fn needs_transaction(&self) -> bool {
        self.isolation.is_some() || self.read_only || self.role.is_some()
    }
}
