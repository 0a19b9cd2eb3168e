//! One run: waits for the lock, changes the schema, releases the lock.

use std::sync::Arc;
use std::time::Duration;

use berth_database::Session;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, Statement};
use sea_orm_migration::MigratorTraitSelf;
use sea_orm_migration::prelude::*;
use sea_orm_migration::seaql_migrations;

use crate::backoff::Backoff;
use crate::connection::{self, Postgres};
use crate::guard::{LockGuard, LockedMigrator};
use crate::lock::Lock;
use crate::{Error, Settings};

/// What a run does to the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Applies this many pending migrations, or all of them.
    Up(Option<u32>),
    /// Reverts this many of the last applied migrations.
    Down(u32),
    /// Drops every table, then applies all migrations.
    Fresh,
    /// Reverts all applied migrations, then applies all.
    Refresh,
    /// Reverts all applied migrations and drops the table that lists them.
    Reset,
}

/// A change that a run made, with the migration's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The migration was applied.
    Applied(String),
    /// The migration was reverted.
    Reverted(String),
}

/// A migration, and whether it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The migration's name, which is the name of its file.
    pub name: String,
    /// Whether it is applied to the database.
    pub applied: bool,
}

impl Command {
    /// Returns whether the command can destroy data; in production it then needs a confirmation.
    pub fn destroys(self) -> bool {
        !matches!(self, Command::Up(_))
    }
}

/// Applies every pending migration and returns the names of those that it applied.
///
/// # Errors
///
/// As [`run`].
pub async fn apply(
    migrator: impl MigratorTraitSelf,
    settings: impl Into<Settings>,
) -> Result<Vec<String>, Error> {
    let changes = run(migrator, &settings.into(), Command::Up(None)).await?;
    let applied = changes.into_iter().map(|change| match change {
        Change::Applied(name) | Change::Reverted(name) => name,
    });
    Ok(applied.collect())
}

/// Runs a command under the lock and returns the changes.
///
/// Uses one connection; behind a pooler a second one for a moment, to rule out transaction mode. While another run holds
/// the lock, no connection is open between two attempts, which are at most two seconds apart.
///
/// # Errors
///
/// See [`Error`]. A migration that fails is rolled back; earlier ones stay applied.
///
/// # Cancel safety
///
/// Dropping the future drops the connection: the server rolls back the current migration and releases the lock.
pub async fn run(
    migrator: impl MigratorTraitSelf,
    settings: &Settings,
    command: Command,
) -> Result<Vec<Change>, Error> {
    let lock = Lock::acquire(settings).await?;
    let guard = Arc::new(LockGuard::new(&lock, settings.lock));
    let connection = lock.connection();
    let done = execute(LockedMigrator::new(migrator, &guard), &connection, command).await;
    // The error does not show whether the connection was lost; another check does.
    let lost = guard.lost() || (done.is_err() && guard.check(&connection).await.is_err());
    lock.release().await;
    match done {
        Err(_) if lost => Err(Error::LockLost),
        Err(error) => Err(Error::Failed(error)),
        Ok(()) => Ok(guard.changes()),
    }
}

async fn execute<M: MigratorTraitSelf>(
    migrator: M,
    connection: &DatabaseConnection,
    command: Command,
) -> Result<(), DbErr> {
    match command {
        Command::Up(steps) => migrator.up(connection, steps).await,
        Command::Down(steps) => migrator.down(connection, Some(steps)).await,
        Command::Fresh => migrator.fresh(connection).await,
        Command::Refresh => migrator.refresh(connection).await,
        Command::Reset => migrator.reset(connection).await,
    }
}

/// Lists the migrations and whether each is applied. Changes nothing and takes no lock.
///
/// # Errors
///
/// As [`run`], except those of the lock.
pub async fn status(migrator: impl MigratorTraitSelf, settings: &Settings) -> Result<Vec<Entry>, Error> {
    let connection = match settings.database.url.is_postgres() {
        true => {
            let session = Postgres::reach(settings, &mut Backoff::new()).await?;
            session.refuse_transaction_pooler(settings).await?;
            session.connection
        }
        false => connection::sqlite(settings).await?,
    };
    let entries = entries(&migrator, &connection).await;
    connection.close().await?;
    Ok(entries?)
}

/// Returns the names of the pending migrations, or why they are unknown. Waits at most five seconds for a connection.
pub async fn pending_names(
    migrator: impl MigratorTraitSelf,
    database: berth_database::Settings,
) -> Result<Vec<String>, String> {
    let mut settings = Settings::new(database);
    (settings.wait, settings.reach) = (Duration::from_secs(5), Duration::from_secs(5));
    let entries = status(migrator, &settings)
        .await
        .map_err(|error| error.to_string())?;
    let pending = entries.into_iter().filter(|entry| !entry.applied);
    Ok(pending.map(|entry| entry.name).collect())
}

/// Names the pending migrations, in one round trip. Migrations that only the database lists are ignored, so that an older
/// release stays ready during a deploy.
///
/// Uses a session in autocommit: a missing table fails the statement, and a transaction with it.
///
/// # Errors
///
/// The errors of the connection.
pub async fn pending(migrator: impl MigratorTraitSelf, session: &Session) -> Result<Vec<String>, DbErr> {
    let applied = match session
        .query_unprepared("select version from seaql_migrations")
        .await
    {
        Ok(rows) => rows
            .iter()
            .map(|row| row.try_get_by_index(0))
            .collect::<Result<Vec<String>, DbErr>>()?,
        Err(_) if !has_migration_table(session).await? => Vec::new(),
        Err(error) => return Err(error),
    };
    let names = migrator.migrations().into_iter();
    let names = names.map(|migration| migration.name().to_owned());
    Ok(names.filter(|name| !applied.contains(name)).collect())
}

async fn entries<C: ConnectionTrait>(
    migrator: &impl MigratorTraitSelf,
    connection: &C,
) -> Result<Vec<Entry>, DbErr> {
    let applied = match has_migration_table(connection).await? {
        true => seaql_migrations::Entity::find().all(connection).await?,
        false => Vec::new(),
    };
    let entry = |migration: Box<dyn MigrationTrait>| Entry {
        name: migration.name().to_owned(),
        applied: applied.iter().any(|row| row.version == migration.name()),
    };
    Ok(migrator.migrations().into_iter().map(entry).collect())
}

/// Whether the table of applied migrations exists. A query of a missing table would fail the caller's transaction.
async fn has_migration_table<C: ConnectionTrait>(connection: &C) -> Result<bool, DbErr> {
    let backend = connection.get_database_backend();
    let sql = match backend {
        DbBackend::Sqlite => "select exists (select 1 from sqlite_master where name = 'seaql_migrations')",
        _ => "select to_regclass('seaql_migrations') is not null",
    };
    match connection
        .query_one_raw(Statement::from_string(backend, sql))
        .await?
    {
        Some(row) => row.try_get_by_index(0),
        None => Ok(false),
    }
}
