//! The entities and the migrated schema are two descriptions of one thing: the database compares them.

use std::collections::BTreeSet;

use berth_migrate::{Command, Settings, run};
use migration::Migrator;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

// Links the crate: the registry has the entities of linked crates.
use entity as _;

use crate::fixture::{folder, look, postgres, sqlite};

#[tokio::test]
async fn entities_and_migrated_schema_agree_on_postgres() {
    let (_migrated, settings) = postgres().await;
    let (_built, built) = postgres().await;
    let columns = "select table_name || '.' || column_name || ' ' || udt_name || ' nullable ' || is_nullable \
        from information_schema.columns where table_schema = 'public'";
    // Foreign keys with what they refer to and do, primary keys and unique constraints with their columns.
    let keys = "select conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint \
        where connamespace = 'public'::regnamespace and contype in ('p', 'f')";
    let unique = "select tablename || ' ' || substring(indexdef from '\\(.*') from pg_indexes \
        where schemaname = 'public' and indexdef like 'CREATE UNIQUE%'";
    agree(&settings, &built, &[columns, keys, unique]).await;
}

#[tokio::test]
async fn entities_and_migrated_schema_agree_on_sqlite() {
    let (migrated, built) = (folder(), folder());
    let tables = "(select name as t from sqlite_master where type = 'table')";
    let columns = format!(
        "select t || '.' || name || ' ' || type || ' not null ' || \"notnull\" || ' key ' || pk \
         from {tables}, pragma_table_info(t)"
    );
    let keys = format!(
        "select t || '.' || \"from\" || ' to ' || \"table\" || '.' || \"to\" || ' ' || on_delete \
         from {tables}, pragma_foreign_key_list(t)"
    );
    let unique = format!(
        "select t || ' unique ' || (select group_concat(c.name) from pragma_index_info(i.name) c) \
         from {tables}, pragma_index_list(t) i where i.\"unique\""
    );
    agree(&sqlite(&migrated), &sqlite(&built), &[&columns, &keys, &unique]).await;
}

#[tokio::test]
async fn every_constraint_and_index_has_a_name_of_ours() {
    let (_database, settings) = postgres().await;
    run(Migrator, &settings, Command::Up(None)).await.unwrap();
    let connection = look(&settings).await;
    let constraints = rows(
        &connection,
        "select conname::text from pg_constraint where connamespace = 'public'::regnamespace",
    )
    .await;
    let indexes = rows(
        &connection,
        "select indexname::text from pg_indexes where schemaname = 'public'",
    )
    .await;
    let ours = |name: &str| {
        ["pk_", "fk_", "uq_", "ix_", "ck_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    for name in constraints
        .union(&indexes)
        .filter(|name| !name.starts_with("seaql_migrations"))
    {
        assert!(ours(name), "{name}");
    }
}

/// Compares what `queries` find in a migrated database and in one that is built from the entities.
async fn agree(migrated: &Settings, built: &Settings, queries: &[&str]) {
    run(Migrator, migrated, Command::Up(None)).await.unwrap();
    // The platform's tables have no entities here; the run makes the file and the table that keeps the books, too.
    run(Platform, built, Command::Up(None)).await.unwrap();
    let (migrated, built) = (look(migrated).await, look(built).await);
    // Every entity of the crate: SeaORM keeps a registry of them.
    let entities = built.get_schema_registry("entity::*").apply(&built);
    entities.await.expect("the entities make tables");
    for query in queries {
        let (migrated, built) = (rows(&migrated, query).await, rows(&built, query).await);
        assert!(migrated.len() > 1, "the query finds too little: {migrated:?}"); // sample
        let only = |one: &BTreeSet<String>, other| one.difference(other).cloned().collect::<Vec<_>>();
        assert_eq!(
            (only(&migrated, &built), only(&built, &migrated)),
            (Vec::new(), Vec::new()),
            "what only the migrations make, and what only the entities say"
        );
    }
}

/// The migrations of the platform's crates alone.
struct Platform;

impl MigratorTrait for Platform {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        [
            berth_auth::migrations(),
            berth_jobs::migrations(),
            berth_service::idempotency::migrations(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

async fn rows(connection: &DatabaseConnection, query: &str) -> BTreeSet<String> {
    let backend: DbBackend = connection.get_database_backend();
    let found = connection
        .query_all_raw(Statement::from_string(backend, query))
        .await
        .expect("the query runs");
    found
        .iter()
        .map(|row| row.try_get_by_index(0).expect("one text"))
        .collect()
}
