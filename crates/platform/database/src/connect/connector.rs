//! The one place where connections are opened and set up.

#![allow(clippy::disallowed_methods, reason = "here they are counted")]

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, Error as SqlxError, Row, raw_sql};

use crate::connect::address::AddressChooser;
use crate::connect::instances::InstanceName;
use crate::connect::password::PasswordSource;
use crate::connect::set_up::SetUp;
use crate::connect::tls_relay::{self, Relay};
use crate::settings::{PoolerMode, Settings};

/// A connection to one of the two kinds of database.
#[derive(Debug)]
pub(crate) enum Connection {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Connection {
    /// Closes gracefully. Flushes what is buffered, so only for connections with nothing under way.
    pub(crate) async fn close(self) -> Result<(), SqlxError> {
        match self {
            Self::Postgres(connection) => connection.close().await,
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
    ) -> Result<Ended, SqlxError> {
        let verb = verb.sql();
        let (Self::Postgres(connection), Some(reset)) = (&mut *self, reset) else {
            return self.run(verb).await.map(|()| Ended::Clean);
        };
        let sql = format!("{verb}; {reset}");
        let mut results = raw_sql(sqlx::AssertSqlSafe(sql)).fetch_many(connection);
        results.try_next().await?;
        loop {
            match results.try_next().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Ended::Clean),
                Err(_) => return Ok(Ended::Unclean),
            }
        }
    }

    /// Runs plain SQL in one round trip.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), SqlxError> {
        let query = raw_sql(sqlx::AssertSqlSafe(sql));
        match self {
            Self::Postgres(connection) => query.execute(connection).await.map(drop),
            Self::Sqlite(connection) => query.execute(connection).await.map(drop),
        }
    }
}

/// How a transaction is to end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TransactionEnd {
    Commit,
    Rollback,
}

impl TransactionEnd {
    fn sql(self) -> &'static str {
        match self {
            Self::Commit => "COMMIT",
            Self::Rollback => "ROLLBACK",
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
}

/// Interrupts the statement of SQLite's worker thread, which dropping the future does not: the thread holds the locks on
/// the file until the statement ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// How many of SQLite's instructions run between two looks: less than a millisecond's.
    const EVERY: i32 = 10_000;

    pub(crate) fn interrupt(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    async fn install(&self, connection: &mut SqliteConnection) -> Result<(), SqlxError> {
        let interrupted = self.0.clone();
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(Self::EVERY, move || !interrupted.load(Ordering::Relaxed));
        Ok(())
    }
}

/// The server's process that serves a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backend {
    pub(crate) pid: i32,
    /// Whether it notices by itself that its client has left.
    pub(crate) hang_up_check: bool,
}

fn backend(row: &PgRow) -> Result<Option<Backend>, SqlxError> {
    let hang_up_check = row.try_get("hang_up_check")?;
    let pid: Option<i32> = row.try_get("pid")?;
    Ok(pid.map(|pid| Backend { pid, hang_up_check }))
}

/// A new connection, with what is known about it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) interrupt: Interrupt,
    pub(crate) relay: Relay,
    /// The server's process for this connection, where it is known and stays the same.
    pub(crate) backend: Option<Backend>,
    pub(crate) version: String,
    /// Other live instances of this application, where they were counted.
    pub(crate) others: Option<u32>,
}

/// Connects and sets connections up; made once from the settings.
#[derive(Debug)]
pub(crate) struct Connector {
    target: Target,
}

#[derive(Debug)]
enum Target {
    Postgres {
        options: Box<PgConnectOptions>,
        password: Option<PasswordSource>,
        addresses: AddressChooser,
        set_up: SetUp,
    },
    Sqlite(Box<SqliteConnectOptions>),
}

impl Connector {
    pub(crate) fn new(settings: &Settings, instance_name: Option<&InstanceName>) -> Result<Self, SqlxError> {
        let target = match settings.url.sqlite_file() {
            Some(file) => Target::Sqlite(Box::new(sqlite_options(settings, file))),
            None => Target::Postgres {
                options: Box::new(options_without_password(settings)?),
                password: PasswordSource::of(settings),
                addresses: AddressChooser::default(),
                set_up: SetUp::new(settings, instance_name),
            },
        };
        Ok(Self { target })
    }

    /// The SQL that brings a connection back to what its set-up made of it; none where connections keep no state.
    pub(crate) fn reset(&self) -> Option<&str> {
        match &self.target {
            Target::Postgres { set_up, .. } => set_up.reset(),
            Target::Sqlite(_) => None,
        }
    }

    /// Connects and sets the connection up; `logged_in` is called when authentication has passed.
    ///
    /// # Cancel safety
    /// Dropping the future drops the socket; the server notices by itself.
    pub(crate) async fn open(&self, logged_in: impl FnOnce() + Send) -> Result<Opened, SqlxError> {
        match &self.target {
            Target::Postgres {
                options,
                password,
                addresses,
                set_up,
            } => {
                let (mut connection, relay) = log_in(options, password.as_ref(), addresses).await?;
                logged_in();
                // A PgBouncer whose pool is full lets clients in and makes this statement wait.
                let row = set_up.run(&mut connection).await?;
                let others: Option<i64> = row.try_get("others")?;
                Ok(Opened {
                    backend: backend(&row)?,
                    version: row.try_get("version")?,
                    others: others.and_then(|others| u32::try_from(others).ok()),
                    connection: Connection::Postgres(connection),
                    interrupt: Interrupt::default(),
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
                let interrupt = Interrupt::default();
                interrupt.install(&mut connection).await?;
                Ok(Opened {
                    connection: Connection::Sqlite(connection),
                    interrupt,
                    relay: Relay::default(),
                    backend: None,
                    version,
                    others: None,
                })
            }
        }
    }
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
    let (create, read_only) = settings.url.sqlite_modes();
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(create)
        .read_only(read_only)
        .foreign_keys(true)
        // Writers queue in the scheduler; this is for other processes that use the file.
        .busy_timeout(Duration::from_secs(5))
        .synchronous(SqliteSynchronous::Normal)
        .disable_statement_logging();
    if read_only {
        options
    } else {
        options.journal_mode(SqliteJournalMode::Wal)
    }
}

/// Connects with the present password; where the server does not accept it and another one can be read, with that.
async fn log_in(
    options: &PgConnectOptions,
    source: Option<&PasswordSource>,
    addresses: &AddressChooser,
) -> Result<(PgConnection, Relay), SqlxError> {
    let Some(source) = source else {
        return tls_relay::connect(options, addresses).await;
    };
    let password = source.read().await?;
    match tls_relay::connect(&options.clone().password(&password), addresses).await {
        Err(error) if is_wrong_password(&error) => {
            let rotated = source.read().await?;
            if rotated == password {
                return Err(error);
            }
            tls_relay::connect(&options.clone().password(&rotated), addresses).await
        }
        result => result,
    }
}

fn is_wrong_password(error: &SqlxError) -> bool {
    let database = error.as_database_error();
    database.is_some_and(|error| error.code().as_deref() == Some("28P01"))
}

/// Options for one connection outside of the pool, with the present password.
pub(crate) fn postgres_options(settings: &Settings) -> Result<PgConnectOptions, SqlxError> {
    let options = options_without_password(settings)?;
    match PasswordSource::of(settings) {
        Some(source) => Ok(options.password(&source.read_blocking()?)),
        None => Ok(options),
    }
}

fn options_without_password(settings: &Settings) -> Result<PgConnectOptions, SqlxError> {
    let mut options = PgConnectOptions::from_str(settings.url.expose())?
        // A stock PgBouncer refuses clients that send it.
        .extra_float_digits(None)
        .disable_statement_logging();
    // A URL writes an IPv6 address in brackets; neither resolvers nor certificates do.
    let host = options.get_host().to_owned();
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        options = options.host(address);
    }
    if let Some(mode) = settings.url.ssl_mode() {
        options = options.ssl_mode(mode);
    }
    if let Some(file) = &settings.root_certificate {
        options = options.ssl_root_cert(file).ssl_mode(PgSslMode::VerifyFull);
    }
    if settings.pooler_mode() == PoolerMode::Transaction {
        // Named statements would be another server's by the next transaction.
        options = options.statement_cache_capacity(0);
    }
    Ok(options)
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
