//! Checks before and after each migration that this run still holds the lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sea_orm::{ConnectionTrait, Statement};
use sea_orm_migration::MigratorTraitSelf;
use sea_orm_migration::prelude::*;

use crate::connection::milliseconds;
use crate::lock::{Lock, is_held};
use crate::run::Change;

/// Wraps each migration of a migrator in checks of the lock.
///
/// The check after a migration runs in the migration's own transaction, so that a migration that lost the lock is
/// rolled back.
pub(crate) struct LockedMigrator<M> {
    migrator: M,
    guard: Arc<LockGuard>,
}

/// The state of the lock, and the changes made under it.
#[derive(Debug)]
pub(crate) struct LockGuard {
    /// On PostgreSQL, the backend whose session holds the lock. SQLite's lock cannot be lost.
    backend: Option<i32>,
    /// How long a statement in a migration's transaction waits for a lock on a table.
    lock_timeout: Duration,
    lost: AtomicBool,
    changes: Mutex<Vec<Change>>,
}

impl<M> LockedMigrator<M> {
    pub(crate) fn new(migrator: M, guard: &Arc<LockGuard>) -> Self {
        LockedMigrator {
            migrator,
            guard: Arc::clone(guard),
        }
    }
}

impl<M: MigratorTraitSelf> MigratorTraitSelf for LockedMigrator<M> {
    fn migrations(&self) -> Vec<Box<dyn MigrationTrait>> {
        let guard = |migration| -> Box<dyn MigrationTrait> {
            Box::new(GuardedMigration {
                migration,
                guard: Arc::clone(&self.guard),
            })
        };
        self.migrator.migrations().into_iter().map(guard).collect()
    }

    fn migration_table_name(&self) -> DynIden {
        self.migrator.migration_table_name()
    }
}

impl LockGuard {
    pub(crate) fn new(lock: &Lock, lock_timeout: Duration) -> Self {
        LockGuard {
            backend: lock.backend(),
            lock_timeout,
            lost: AtomicBool::new(false),
            changes: Mutex::default(),
        }
    }

    /// Fails unless this session holds the lock.
    pub(crate) async fn check<C: ConnectionTrait>(&self, connection: &C) -> Result<(), DbErr> {
        let Some(backend) = self.backend else {
            return Ok(());
        };
        let sql = format!(
            "select pg_backend_pid() = {backend} and exists \
             (select from pg_locks where pid = pg_backend_pid() and {})",
            is_held()
        );
        let statement = Statement::from_string(connection.get_database_backend(), sql);
        let ours = match connection.query_one_raw(statement).await? {
            Some(row) => row.try_get_by_index(0)?,
            None => false,
        };
        if !ours {
            self.lost.store(true, Ordering::Relaxed);
            return Err(DbErr::Migration("the migration lock was lost".to_owned()));
        }
        Ok(())
    }

    pub(crate) fn lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// The changes so far, in order.
    pub(crate) fn changes(&self) -> Vec<Change> {
        self.changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, change: Change) {
        self.changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(change);
    }
}

struct GuardedMigration {
    migration: Box<dyn MigrationTrait>,
    guard: Arc<LockGuard>,
}

impl GuardedMigration {
    /// Checks the lock, and sets how long statements wait for a lock on a table: without limit where the migration has no
    /// transaction.
    ///
    /// Such a migration runs CREATE INDEX CONCURRENTLY, which waits for every older transaction without blocking other
    /// sessions, and leaves an invalid index behind if it is interrupted.
    async fn prepare(&self, manager: &SchemaManager<'_>) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        self.guard.check(connection).await?;
        if self.guard.backend.is_none() {
            return Ok(());
        }
        let timeout = match self.use_transaction() {
            Some(false) => 0,
            _ => milliseconds(self.guard.lock_timeout),
        };
        let sql = format!("set lock_timeout = {timeout}");
        connection.execute_unprepared(&sql).await.map(drop)
    }
}

impl MigrationName for GuardedMigration {
    fn name(&self) -> &str {
        self.migration.name()
    }
}

#[async_trait::async_trait]
impl MigrationTrait for GuardedMigration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        self.prepare(manager).await?;
        self.migration.up(manager).await?;
        self.guard.check(manager.get_connection()).await?;
        self.guard.note(Change::Applied(self.name().to_owned()));
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        self.prepare(manager).await?;
        self.migration.down(manager).await?;
        self.guard.check(manager.get_connection()).await?;
        self.guard.note(Change::Reverted(self.name().to_owned()));
        Ok(())
    }

    /// By default in a transaction, on SQLite too, which can change its schema in one.
    fn use_transaction(&self) -> Option<bool> {
        self.migration.use_transaction().or(Some(true))
    }
}
