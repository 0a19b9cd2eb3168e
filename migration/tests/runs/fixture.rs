//! Databases to migrate, and migrations to go wrong.

#![allow(
    clippy::disallowed_methods,
    reason = "a test looks at what was made over a connection of its own"
)]

use std::sync::Arc;
use std::time::Duration;

use berth_migrate::Settings;
use berth_testkit::{Cluster, TestDatabase};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use sea_orm_migration::prelude::*;
use sea_orm_migration::{MigrationName, MigrationTrait, MigratorTraitSelf};
use tempfile::TempDir;

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("the directory for temporary files can be written")
}

pub(crate) fn sqlite(folder: &TempDir) -> Settings {
    let folder = folder.path().display();
    impatient(&format!("sqlite://{folder}/data/test.sqlite?mode=rwc"))
}

pub(crate) async fn postgres() -> (TestDatabase, Settings) {
    let database = Cluster::shared().await.database().await;
    let settings = impatient(&database.url());
    (database, settings)
}

/// Settings that give up before a test runs for minutes.
pub(crate) fn impatient(url: &str) -> Settings {
    let mut settings = Settings::new(berth_database::Settings::for_url(url).expect("a URL"));
    settings.wait = Duration::from_secs(60);
    settings.database.connect_timeout = Duration::from_secs(2);
    settings
}

/// The database behind the settings, for looking at it.
pub(crate) async fn look(settings: &Settings) -> DatabaseConnection {
    sea_orm::Database::connect(settings.database.url.expose())
        .await
        .expect("the database answers")
}

/// Whether the table is there.
pub(crate) async fn has_table(settings: &Settings, table: &str) -> bool {
    let connection = look(settings).await;
    let there = SchemaManager::new(&connection)
        .has_table(table)
        .await
        .expect("the catalogue can be read");
    connection.close().await.expect("it closes");
    there
}

/// A migrator of the given migrations.
pub(crate) struct Steps(pub(crate) Vec<Step>);

/// A migration that makes a table of its own name, and then runs SQL or breaks.
#[derive(Clone)]
pub(crate) struct Step {
    name: Arc<str>,
    then: Option<Arc<str>>,
    swallows: bool,
}

impl Step {
    pub(crate) fn table(name: &str) -> Self {
        Step {
            name: name.into(),
            then: None,
            swallows: false,
        }
    }

    /// Says that all is well whatever the SQL came to.
    pub(crate) fn swallowing(self) -> Self {
        Step {
            swallows: true,
            ..self
        }
    }

    pub(crate) fn then(self, sql: &str) -> Self {
        Step {
            then: Some(sql.into()),
            ..self
        }
    }
}

impl MigratorTraitSelf for Steps {
    fn migrations(&self) -> Vec<Box<dyn MigrationTrait>> {
        self.0
            .iter()
            .map(|step| -> Box<dyn MigrationTrait> { Box::new(step.clone()) })
            .collect()
    }
}

impl MigrationName for Step {
    fn name(&self) -> &str {
        &self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(self.name.to_string())
            .col(ColumnDef::new("id").integer())
            .take();
        manager.create_table(table).await?;
        match &self.then {
            Some(sql) => match manager.get_connection().execute_unprepared(sql).await {
                Err(error) if !self.swallows => Err(error),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table(self.name.to_string()).take())
            .await
    }
}
