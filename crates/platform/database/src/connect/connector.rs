//! Connector: opens and sets up every connection of the pool.

#![allow(clippy::disallowed_methods, reason = "here they are counted")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use sea_orm::{DatabaseConnection, SqlxSqliteConnector};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, Error as SqlxError, Row, raw_sql};

use crate::connect::instances::InstanceName;
use crate::connect::listener::ListenerConnection;
use crate::connect::login::{Login, pool_of_one};
use crate::connect::pooler_mode::ModeDetector;
use crate::connect::set_up::{ServerFacts, SetUp};
use crate::connect::tls_relay::Relay;
use crate::connect::unnamed::RehearsedTexts;
use crate::settings::url::SqliteMode;
use crate::settings::{PoolerMode, Settings};

/// A connection to one of the two kinds of database.
#[derive(Debug)]
pub(crate) enum Connection {
    Postgres(PgConnection, RehearsedTexts),
    Sqlite(SqliteConnection),
}

impl Connection {
    /// Closes gracefully. Flushes what is buffered, so only for connections with nothing under way.
    pub(crate) async fn close(self) -> Result<(), SqlxError> {
        match self {
            Self::Postgres(connection, _) => connection.close().await,
            Self::Sqlite(connection) => connection.close().await,
        }
    }

    /// Ends a transaction and resets the session's state, in one round trip.
    ///
    /// # Errors
    /// The transaction did not end as asked. Where it did and the reset failed, that is [`Ended::Unclean`].
    pub(crate) async fn end_transaction(
        &mut self,
        verb: TransactionEnd,
        reset: Option<&str>,
        pid: Option<i32>,
    ) -> Result<Ended, SqlxError> {
        let verb = verb.sql();
        let (Self::Postgres(connection, _), Some(reset)) = (&mut *self, reset) else {
            return self.run(verb).await.map(|()| Ended::Clean);
        };
        let prepared = i64::try_from(connection.cached_statements_size()).unwrap_or(0);
        let sql = format!("{verb}; {reset}");
        let mut results = raw_sql(sqlx::AssertSqlSafe(sql)).fetch_many(connection);
        results.try_next().await?;
        let mut ended = Ended::Clean;
        loop {
            match results.try_next().await {
                Ok(Some(result)) => {
                    let Some(row) = result.right() else { continue };
                    let now = row.try_get("pid").ok();
                    if pid.is_some() && now.is_some() && now != pid {
                        ended = Ended::Elsewhere;
                    } else if row.try_get("prepared").is_ok_and(|now: i64| now < prepared) {
                        ended = Ended::OtherStatements;
                    }
                }
                Ok(None) => return Ok(ended),
                Err(_) => return Ok(Ended::Unclean),
            }
        }
    }

    /// Runs plain SQL in one round trip.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), SqlxError> {
        let query = raw_sql(sqlx::AssertSqlSafe(sql));
        match self {
            Self::Postgres(connection, _) => query.execute(connection).await.map(drop),
            Self::Sqlite(connection) => query.execute(connection).await.map(drop),
        }
    }
}

/// How a transaction is to end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TransactionEnd {
    Commit,
    Rollback,
    /// There is none: only the state of the session is reset.
    NotOpen,
}

impl TransactionEnd {
    fn sql(self) -> &'static str {
        match self {
            Self::Commit => "COMMIT",
            Self::Rollback => "ROLLBACK",
            Self::NotOpen => "SELECT 1",
        }
    }
}

/// In what state a connection is after its transaction has ended as asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// As after its set-up.
    Clean,
    /// Perhaps with state of the session that used it.
    Unclean,
    /// With prepared statements that are not the driver's, or without some that are.
    OtherStatements,
    /// On another server process than the one that was set up, so a pooler works in transaction mode.
    Elsewhere,
}

/// What is asked of and reported by SQLite's worker thread while statements run.
#[derive(Clone, Debug, Default)]
pub(crate) struct SqliteHooks {
    interrupted: Arc<AtomicBool>,
    rolled_back: Arc<AtomicBool>,
}

impl SqliteHooks {
    /// How many of SQLite's instructions run between two looks: less than a millisecond's.
    const EVERY: i32 = 10_000;

    /// Interrupts the statement, which dropping its future does not: the thread holds the locks on the file until it ends.
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    /// Returns whether a transaction was rolled back since the last call, for any reason: SQLite rolls back on its
    /// own for `ON CONFLICT ROLLBACK`, `RAISE(ROLLBACK)`, a full disk and some I/O errors.
    pub(crate) fn take_rolled_back(&self) -> bool {
        self.rolled_back.swap(false, Ordering::Relaxed)
    }

    async fn install(&self, connection: &mut SqliteConnection) -> Result<(), SqlxError> {
        let Self {
            interrupted,
            rolled_back,
        } = self.clone();
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(Self::EVERY, move || !interrupted.load(Ordering::Relaxed));
        handle.set_rollback_hook(move || rolled_back.store(true, Ordering::Relaxed));
        Ok(())
    }
}

/// A new connection, with what is known about it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) hooks: SqliteHooks,
    pub(crate) relay: Relay,
    pub(crate) server: ServerFacts,
    /// The mode that the connection is set up for.
    pub(crate) mode: PoolerMode,
}

/// Connects and sets connections up; made once from the settings.
#[derive(Debug)]
pub(crate) struct Connector {
    mode: ModeDetector,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Postgres(Box<(Login, SetUp)>),
    Sqlite(Box<SqliteConnectOptions>),
}

impl Connector {
    pub(crate) fn new(settings: &Settings, instance_name: Option<&InstanceName>) -> Result<Self, SqlxError> {
        let target = match settings.url.sqlite_file() {
            Some(file) => Target::Sqlite(Box::new(sqlite_options(settings, file))),
            None => Target::Postgres(Box::new((
                Login::new(settings)?,
                SetUp::new(settings, instance_name),
            ))),
        };
        let mode = ModeDetector::new(settings);
        Ok(Self { mode, target })
    }

    pub(crate) fn mode(&self) -> &ModeDetector {
        &self.mode
    }

    /// The SQL that brings a connection back to what its set-up made of it; none where connections keep no state.
    pub(crate) fn reset(&self) -> Option<&str> {
        match &self.target {
            Target::Postgres(server) => server.1.reset(self.mode.mode()),
            Target::Sqlite(_) => None,
        }
    }

    /// Connects and sets up the connection that waits for notifications; returns none where there is no such connection.
    ///
    /// # Cancel safety
    /// As [`Connector::open`].
    pub(crate) async fn open_listener(&self) -> Result<Option<ListenerConnection>, SqlxError> {
        match &self.target {
            Target::Postgres(server) if self.mode.mode().keeps_sessions() => {
                let (login, set_up) = &**server;
                ListenerConnection::open(login, set_up, &self.mode).await
            }
            _ => Ok(None),
        }
    }

    /// Connects and sets the connection up; `logged_in` is called when authentication has passed.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket, which the server detects.
    pub(crate) async fn open(&self, logged_in: impl FnOnce() + Send) -> Result<Opened, SqlxError> {
        match &self.target {
            Target::Postgres(server) => {
                let (login, set_up) = &**server;
                let turn = self.mode.turn().await;
                let second = turn.as_ref().and_then(|turn| turn.prepare(login));
                let (mut connection, relay) = login.connect().await?;
                logged_in();
                // A PgBouncer whose pool is full lets clients in and makes their first statement wait.
                let (mode, facts) = match turn {
                    Some(turn) => turn.detect(login, second, &mut connection, set_up).await?,
                    None => (self.mode.mode(), None),
                };
                let server = match facts {
                    Some(facts) => facts,
                    None => set_up.run(&mut connection, mode).await?,
                };
                Ok(Opened {
                    server,
                    mode,
                    connection: Connection::Postgres(connection, RehearsedTexts::default()),
                    hooks: SqliteHooks::default(),
                    relay,
                })
            }
            Target::Sqlite(options) => {
                create_folder(options.get_filename())?;
                let mut connection = SqliteConnection::connect_with(options).await?;
                logged_in();
                let row = raw_sql("SELECT sqlite_version() AS version")
                    .fetch_one(&mut connection)
                    .await?;
                let version = row.try_get("version")?;
                let hooks = SqliteHooks::default();
                hooks.install(&mut connection).await?;
                Ok(Opened {
                    connection: Connection::Sqlite(connection),
                    hooks,
                    relay: Relay::default(),
                    server: ServerFacts::without_session(version),
                    mode: PoolerMode::Direct,
                })
            }
        }
    }
}

/// Opens a file in a pool of one connection, which SeaORM wants.
pub(crate) async fn connect_sqlite_pool(
    settings: &Settings,
    file: &Path,
) -> Result<DatabaseConnection, SqlxError> {
    create_folder(file)?;
    let options = sqlite_options(settings, file);
    let pool = pool_of_one(settings.connect_timeout)
        .connect_with(options)
        .await?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
}

fn create_folder(file: &Path) -> Result<(), SqlxError> {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            std::fs::create_dir_all(folder).map_err(SqlxError::config)
        }
        _ => Ok(()),
    }
}

fn sqlite_options(settings: &Settings, file: &Path) -> SqliteConnectOptions {
    let mode = settings.url.sqlite_mode();
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(mode == SqliteMode::Create)
        .read_only(mode == SqliteMode::ReadOnly)
        .foreign_keys(true)
        // Writers queue in the scheduler; this is for other processes that use the file.
        .busy_timeout(Duration::from_secs(5))
        .synchronous(SqliteSynchronous::Normal)
        .disable_statement_logging();
    if mode == SqliteMode::ReadOnly {
        options
    } else {
        options.journal_mode(SqliteJournalMode::Wal)
    }
}

/// A time as the server's settings take it: never 0, which would switch the limit off, and at most 24 days.
pub(crate) fn milliseconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// A string literal by the server's rules, whatever `standard_conforming_strings` says.
pub(crate) fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 3);
    literal.push_str("E'");
    // No literal can hold NUL; the server would refuse the whole message.
    for character in text.chars().filter(|character| *character != '\0') {
        if matches!(character, '\'' | '\\') {
            literal.push(character);
        }
        literal.push(character);
    }
    literal.push('\'');
    literal
}
