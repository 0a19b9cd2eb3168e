//! Pooler mode: what is known of it, for the life of a pool, and whose turn it is to find out more.
//!
//! Addresses and ports mislead: Neon's `-pooler` hosts and most PgBouncers on port 6432 work in transaction mode, where
//! a setting of a session stays on a server connection that other clients use, and named statements are missing or
//! already there. So nothing is set on a connection before the [`experiment`] was made with it. That holds for a mode
//! that the settings name, too: the first connection looks whether it is true.
//!
//! The experiment's second connection comes out of the reserve, or out of the share while the pool's other attempts wait
//! for it to be closed. Where neither has room, or the second is refused, the mode is what the settings say; where they
//! say nothing it stays unknown, connections are used as behind a transaction pooler, which is right in every mode, and
//! the experiment is repeated after [`RETRY`].
//!
//! The experiment cannot see several poolers behind one address, if it meets two of them. Therefore the result remains
//! under examination: a server process that changed, or a named statement that is missing or already there, switches to
//! transaction mode.

mod experiment;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Error as SqlxError;
use sqlx::postgres::PgConnection;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

pub(crate) use self::experiment::detect_for_tool;
use self::experiment::{Finding, Prepared, Second};
use super::instances::ShareBudget;
use super::login::Login;
use super::set_up::{ServerFacts, SetUp};
use crate::settings::{Instances, PoolerMode, Settings};

/// The time after which an experiment without a result is repeated, and the age that connections reach until then.
pub(crate) const RETRY: Duration = Duration::from_secs(10);

/// The mode as far as it is known, for the life of a pool.
#[derive(Debug)]
pub(crate) struct ModeDetector {
    known: watch::Sender<Known>,
    /// When the last experiment ended without a result. One is made at a time; other attempts wait before they log in.
    inconclusive: Arc<Mutex<Option<Instant>>>,
    room: Room,
}

#[derive(Clone, Copy, Debug)]
enum Known {
    /// No connection has looked yet. The mode is the one that the settings name, if they do.
    Presumed(Option<PoolerMode>),
    Found(PoolerMode),
}

/// Whether there is room for a second connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Room {
    Available,
    None,
}

impl ModeDetector {
    pub(crate) fn new(settings: &Settings) -> Self {
        let budget = ShareBudget::new(settings);
        let share = match settings.instances {
            Instances::Fixed(instances) => budget.share(instances),
            Instances::Auto => budget.share(1),
        };
        let known = match settings.known_mode() {
            // What is right in every mode need not be examined.
            Some(PoolerMode::Transaction) => Known::Found(PoolerMode::Transaction),
            Some(mode) if !settings.url.is_postgres() => Known::Found(mode),
            mode => Known::Presumed(mode),
        };
        Self {
            known: watch::Sender::new(known),
            inconclusive: Arc::default(),
            room: match settings.reserve > 0 || share > 1 {
                true => Room::Available,
                false => Room::None,
            },
        }
    }

    /// The mode by which statements and settings go.
    pub(crate) fn mode(&self) -> PoolerMode {
        match *self.known.borrow() {
            Known::Presumed(mode) => mode.unwrap_or(PoolerMode::Unknown),
            Known::Found(mode) => mode,
        }
    }

    /// Whether no connection has looked for the mode yet.
    pub(crate) fn is_open(&self) -> bool {
        matches!(*self.known.borrow(), Known::Presumed(_))
    }

    /// Returns the right to make the experiment with the next connection, where one is due; waits for one under way.
    pub(crate) async fn turn(&self) -> Option<DetectionTurn<'_>> {
        let inconclusive = self.inconclusive.clone().lock_owned().await;
        let due = match *self.known.borrow() {
            Known::Presumed(_) => true,
            Known::Found(PoolerMode::Unknown) => inconclusive.is_none_or(|at| at.elapsed() >= RETRY),
            Known::Found(_) => false,
        };
        due.then_some(DetectionTurn {
            detector: self,
            inconclusive,
        })
    }

    /// Switches to transaction mode, since connections do not keep their server process; returns whether that is new.
    pub(crate) fn switch_to_transaction(&self, evidence: &str) -> bool {
        let is_new = self.mode().keeps_sessions();
        if is_new {
            self.known.send_replace(Known::Found(PoolerMode::Transaction));
            tracing::warn!(
                evidence,
                "the pooler works in transaction mode, unlike detected or configured: statements are no longer \
                 named, and settings last for one transaction"
            );
        }
        is_new
    }
}

/// The right to make the experiment.
#[derive(Debug)]
pub(crate) struct DetectionTurn<'d> {
    detector: &'d ModeDetector,
    inconclusive: OwnedMutexGuard<Option<Instant>>,
}

impl DetectionTurn<'_> {
    /// Prepares the second connection's socket while the first one logs in, where that saves time.
    pub(crate) fn prepare(&self, login: &Login) -> Option<Prepared> {
        (self.detector.room == Room::Available)
            .then(|| login.prepare())
            .flatten()
    }

    /// Makes the experiment with a connection on which nothing has run, and remembers the result. Where the connection was
    /// set up on the way, returns what that has found out about the server.
    ///
    /// # Errors
    /// The connection is lost.
    ///
    /// # Cancel safety
    /// As a connection attempt: dropping the future drops the second socket, and the first is in an unknown state.
    pub(crate) async fn detect(
        mut self,
        login: &Login,
        prepared: Option<Prepared>,
        first: &mut PgConnection,
        set_up: &SetUp,
    ) -> Result<(PoolerMode, Option<ServerFacts>), SqlxError> {
        let mut second = Second::default();
        let room = (self.detector.room == Room::Available).then_some((login, prepared));
        let (finding, facts) = experiment::detect(first, room, &mut second, Some(set_up)).await?;
        let mode = self.conclude(finding);
        if let Some(closing) = second.close() {
            // Others wait until its place is free again; this connection need not.
            #[allow(
                clippy::disallowed_methods,
                reason = "attempts to connect run on the pool's runtime already"
            )]
            tokio::spawn(async move {
                closing.await;
                drop(self.inconclusive);
            });
        }
        Ok((mode, facts))
    }

    fn conclude(&mut self, finding: Finding) -> PoolerMode {
        let known = *self.detector.known.borrow();
        match known {
            Known::Presumed(Some(_)) if finding == Finding::Transaction => {
                self.detector
                    .switch_to_transaction("an experiment with the first connection");
                PoolerMode::Transaction
            }
            Known::Presumed(Some(mode)) => {
                self.detector.known.send_replace(Known::Found(mode));
                mode
            }
            Known::Presumed(None) | Known::Found(_) => self.conclude_without_setting(finding),
        }
    }

    fn conclude_without_setting(&mut self, finding: Finding) -> PoolerMode {
        let mode = match finding {
            Finding::Direct => PoolerMode::Direct,
            Finding::Session => PoolerMode::Session,
            Finding::Transaction | Finding::Restless => PoolerMode::Transaction,
            Finding::Nothing => PoolerMode::Unknown,
        };
        let known = self.detector.known.send_replace(Known::Found(mode));
        if mode != PoolerMode::Unknown {
            tracing::info!(db.pooler = ?mode, "pooler mode detected");
            return mode;
        }
        *self.inconclusive = Some(Instant::now());
        if matches!(known, Known::Presumed(_)) {
            tracing::warn!(
                "the pooler's mode is unknown, because a second connection was not admitted: connections are used as \
                 if behind a transaction pooler; set database.pooler, or a database.reserve of at least 1"
            );
        }
        mode
    }
}
