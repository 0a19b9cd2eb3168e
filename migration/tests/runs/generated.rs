//! What `migration generate` writes compiles and runs: this is its template.

use berth_migrate::{Command, Settings, run};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

use crate::fixture::{folder, has_table, postgres, sqlite};

#[path = "../../../crates/platform/migrate/src/generate/template.rs"]
mod template;

struct Generated;

impl MigratorTrait for Generated {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(template::Migration)]
    }
}

#[tokio::test]
async fn a_generated_migration_runs_on_both_databases() {
    let folder = folder();
    goes_up_and_down(&sqlite(&folder)).await;
    let (_database, settings) = postgres().await;
    goes_up_and_down(&settings).await;
}

async fn goes_up_and_down(settings: &Settings) {
    run(Generated, settings, Command::Up(None)).await.unwrap();
    assert!(has_table(settings, "things").await);
    run(Generated, settings, Command::Down(1)).await.unwrap();
    assert!(!has_table(settings, "things").await);
}
