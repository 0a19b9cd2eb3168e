//! The tables of this crate.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, boolean, integer, small_integer, text, text_null, timestamp_with_time_zone,
    timestamp_with_time_zone_null, uuid, uuid_null,
};

/// The migrations of this crate, for a service to list before its own.
pub fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(CreateJobs)]
}

/// Jobs are for workers, and their content may be personal: without a policy only the owner of the tables sees them.
const PRIVATE: &str = "ALTER TABLE jobs ENABLE ROW LEVEL SECURITY;
    ALTER TABLE job_schedules ENABLE ROW LEVEL SECURITY";

struct CreateJobs;

impl MigrationName for CreateJobs {
    fn name(&self) -> &'static str {
        "platform_jobs_000001_jobs"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for CreateJobs {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(jobs()).await?;
        for index in indexes() {
            manager.create_index(index).await?;
        }
        let schedules = Table::create()
            .table("job_schedules")
            .col(text("name"))
            .col(timestamp_with_time_zone("last_at"))
            .primary_key(Index::create().name("pk_job_schedules").col("name"))
            .take();
        manager.create_table(schedules).await?;
        if manager.get_database_backend() == DbBackend::Postgres {
            manager.get_connection().execute_unprepared(PRIVATE).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("job_schedules").take())
            .await?;
        manager.drop_table(Table::drop().table("jobs").take()).await
    }
}

/// `available_at` is the time from which a worker may take the job: its time to run, that of its next attempt, or, while it
/// runs, the end of its claim. It is null once the job is done or dead.
fn jobs() -> TableCreateStatement {
    let state = Expr::col("state").is_in(["waiting", "running", "done", "dead"]);
    Table::create()
        .table("jobs")
        .col(uuid("id"))
        .col(text("name"))
        .col(text("queue"))
        .col(small_integer("priority"))
        .col(text("payload"))
        .col(text("state"))
        .col(integer("attempt"))
        .col(integer("max_attempts"))
        .col(big_integer("timeout_ms"))
        .col(text_null("unique_key"))
        .col(boolean("again"))
        .col(timestamp_with_time_zone_null("available_at"))
        .col(uuid_null("claim_id"))
        .col(text_null("claimed_by"))
        .col(timestamp_with_time_zone_null("started_at"))
        .col(timestamp_with_time_zone_null("finished_at"))
        .col(text_null("last_error"))
        .col(text_null("traceparent"))
        .col(timestamp_with_time_zone("created_at"))
        .primary_key(Index::create().name("pk_jobs").col("id"))
        .check(("ck_jobs_state", state))
        .take()
}

fn indexes() -> Vec<IndexCreateStatement> {
    // A worker reads the jobs that are ready, in order, and nothing else.
    let ready = Index::create()
        .name("ix_jobs_priority_available_at")
        .table("jobs")
        .col("priority")
        .col("available_at")
        .and_where(Expr::col("available_at").is_not_null())
        .take();
    let unique = Index::create()
        .name("uq_jobs_name_unique_key")
        .table("jobs")
        .unique()
        .col("name")
        .col("unique_key")
        .and_where(Expr::col("available_at").is_not_null())
        .take();
    // Housekeeping deletes the oldest, and commands list the dead ones.
    let finished = Index::create()
        .name("ix_jobs_state_finished_at")
        .table("jobs")
        .col("state")
        .col("finished_at")
        .and_where(Expr::col("available_at").is_null())
        .take();
    vec![ready, unique, finished]
}
