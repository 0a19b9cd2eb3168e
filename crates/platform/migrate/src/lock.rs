//! The advisory lock that lets one run change the schema at a time.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use sea_orm::DatabaseConnection;
use sqlx::{PgPool, Row};

use crate::backoff::Backoff;
use crate::connection::{self, Postgres};
use crate::{Error, Settings};

/// The advisory lock's key: the bytes of "migrates". Advisory locks are each database's own.
pub(crate) const KEY: i64 = i64::from_be_bytes(*b"migrates");

/// The condition on `pg_locks` that finds the lock.
pub(crate) fn is_held() -> String {
    format!(
        "locktype = 'advisory' and granted and objsubid = 1 \
         and (classid::bigint << 32) | objid::bigint = {KEY} \
         and database = (select oid from pg_database where datname = current_database())"
    )
}

/// The right to change the schema, with the connection that has it.
#[derive(Debug)]
pub(crate) enum Lock {
    /// The session holds an advisory lock.
    Postgres(Postgres),
    /// This process holds a lock on the file beside the database; the system releases it when the process ends.
    Sqlite {
        connection: DatabaseConnection,
        _file: File,
    },
}

impl Lock {
    /// Waits for the lock.
    ///
    /// Between two attempts no connection is open. CREATE INDEX CONCURRENTLY would wait for a session that waits in
    /// PostgreSQL, and such a session would use a connection of the reserve.
    pub(crate) async fn acquire(settings: &Settings) -> Result<Self, Error> {
        match settings.database.url.sqlite_file() {
            None => Ok(Lock::Postgres(advisory(settings).await?)),
            Some(file) => beside(file, settings).await,
        }
    }

    pub(crate) fn connection(&self) -> DatabaseConnection {
        match self {
            Lock::Postgres(session) => session.connection.clone(),
            Lock::Sqlite { connection, .. } => connection.clone(),
        }
    }

    /// The backend whose session holds the lock.
    pub(crate) fn backend(&self) -> Option<i32> {
        match self {
            Lock::Postgres(session) => Some(session.backend),
            Lock::Sqlite { .. } => None,
        }
    }

    /// Releases the lock and closes the connection.
    pub(crate) async fn release(self) {
        match self {
            Lock::Postgres(Postgres { pool, .. }) => {
                // A pooler without a reset query would keep the lock on its server connection. If this fails, the
                // session has ended, and its lock with it.
                let _gone = sqlx::raw_sql("select pg_advisory_unlock_all()")
                    .execute(&pool)
                    .await;
                pool.close().await;
            }
            Lock::Sqlite { connection, _file } => {
                let _closed = connection.close().await;
            }
        }
    }
}

/// Connects and tries to take the lock until it succeeds; disconnects between two attempts.
async fn advisory(settings: &Settings) -> Result<Postgres, Error> {
    let mut backoff = Backoff::new();
    let mut ruled_out = false;
    loop {
        let session = Postgres::reach(settings, &mut backoff).await?;
        if !ruled_out {
            session.refuse_transaction_pooler(settings).await?;
            ruled_out = true;
        }
        if try_lock(&session.pool).await.map_err(Error::Connect)? {
            session.set_up(settings).await.map_err(Error::Connect)?;
            return Ok(session);
        }
        let holder = holder(&session.pool).await;
        session.pool.close().await;
        if !backoff.fits(settings.wait) {
            return Err(Error::Locked {
                waited: backoff.waited(),
                holder,
            });
        }
        tracing::info!(lock.holder = holder, "waiting for another migration run");
        backoff.pause().await;
    }
}

async fn try_lock(pool: &PgPool) -> Result<bool, sqlx::Error> {
    let sql = format!("select pg_try_advisory_lock({KEY})");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .fetch_one(pool)
        .await?
        .try_get(0)
}

/// Describes the holder of the lock for the operator.
async fn holder(pool: &PgPool) -> String {
    let sql = format!(
        "select pid, coalesce(application_name, '') from pg_locks left join pg_stat_activity using (pid) where {}",
        is_held()
    );
    match sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_optional(pool).await {
        Ok(Some(row)) => {
            let pid = row.try_get::<i32, _>(0).unwrap_or_default();
            let name = row.try_get::<String, _>(1).unwrap_or_default();
            format!("backend {pid} ({name})")
        }
        Ok(None) => "a run that has just ended".to_owned(),
        Err(_) => "an unknown session".to_owned(),
    }
}

/// Locks a file beside the database. Not the database itself: closing another handle of a file
/// frees SQLite's own locks on it (see "How To Corrupt An SQLite Database File").
async fn beside(database: &Path, settings: &Settings) -> Result<Lock, Error> {
    let path = lock_file(database);
    let unusable = |source| Error::LockFile {
        path: path.clone(),
        source,
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(unusable)?;
    }
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(unusable)?;
    let mut backoff = Backoff::new();
    loop {
        match file.try_lock() {
            Ok(()) => {
                return Ok(Lock::Sqlite {
                    connection: connection::sqlite(settings).await?,
                    _file: file,
                });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
            Err(TryLockError::WouldBlock) if !backoff.fits(settings.wait) => {
                let holder = format!("the process that holds a lock on {}", path.display());
                return Err(Error::Locked {
                    waited: backoff.waited(),
                    holder,
                });
            }
            Err(TryLockError::WouldBlock) => backoff.pause().await,
        }
    }
}

fn lock_file(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-migrate.lock");
    PathBuf::from(name)
}
