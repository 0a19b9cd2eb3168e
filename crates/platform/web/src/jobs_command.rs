//! The command `jobs`: what operators do with stored jobs.

use std::fmt::Write;

use berth_database::{Database, Outcome, SessionOptions};
use berth_jobs::admin::{self, JobFilter, StoredJob};
use clap::{Args, Subcommand};
use uuid::Uuid;

use crate::Settings;
use crate::startup::{self, Migrations, StartError};

/// What to do with which jobs.
#[derive(Clone, Debug, Subcommand)]
pub enum Arguments {
    /// List jobs, the newest first
    List {
        /// Which jobs
        #[command(flatten)]
        which: Which,
        /// Maximum number of jobs to list
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one job with its content, which may be personal
    Show {
        /// The job's id
        id: Uuid,
    },
    /// Run dead or waiting jobs at once, with all their attempts
    Retry {
        /// The job's id
        #[arg(required_unless_present_any = ["state", "name"])]
        id: Option<Uuid>,
        /// Which jobs
        #[command(flatten)]
        which: Which,
    },
    /// Delete jobs that are not running
    Discard {
        /// The job's id
        #[arg(required_unless_present_any = ["state", "name"])]
        id: Option<Uuid>,
        /// Which jobs
        #[command(flatten)]
        which: Which,
    },
}

/// Which jobs are meant.
#[derive(Args, Clone, Debug)]
pub struct Which {
    /// waiting, running, done or dead
    #[arg(long, value_parser = ["waiting", "running", "done", "dead"])]
    pub state: Option<String>,
    /// Name of the kind of job
    #[arg(long)]
    pub name: Option<String>,
}

impl Which {
    fn filter(&self, id: Option<Uuid>) -> JobFilter {
        JobFilter {
            id,
            state: self.state.clone(),
            name: self.name.clone(),
        }
    }
}

/// Runs the command, and returns what to print.
///
/// # Errors
///
/// The database cannot be used, or refuses.
pub async fn run(
    settings: &Settings,
    migrations: Migrations,
    arguments: &Arguments,
) -> Result<String, StartError> {
    let run = async |database: &Database| {
        let done = on(database, arguments).await;
        done.map_err(StartError::service("the jobs"))
    };
    startup::with_database(settings, migrations, run).await
}

async fn on(database: &Database, arguments: &Arguments) -> Result<String, berth_database::Error> {
    let session = database.session(SessionOptions::new("jobs command"));
    let text = match arguments {
        Arguments::List { which, limit } => table(&admin::list(&session, &which.filter(None), *limit).await?),
        Arguments::Show { id } => {
            let filter = JobFilter {
                id: Some(*id),
                ..JobFilter::default()
            };
            let found = admin::list(&session, &filter, 1).await?;
            let payload = admin::payload(&session, *id).await?;
            found.iter().map(|job| details(job, &payload)).collect()
        }
        Arguments::Retry { id, which } => {
            format!(
                "{} jobs run again\n",
                admin::retry(&session, &which.filter(*id)).await?
            )
        }
        Arguments::Discard { id, which } => {
            format!(
                "{} jobs deleted\n",
                admin::discard(&session, &which.filter(*id)).await?
            )
        }
    };
    session.end(Outcome::Commit).await?;
    Ok(text)
}

fn table(jobs: &[StoredJob]) -> String {
    let mut text = format!(
        "{:36}  {:7}  {:8}  {:20}  last error\n",
        "id", "state", "attempt", "name"
    );
    for job in jobs {
        let attempt = format!("{}/{}", job.attempt, job.max_attempts);
        let error: String = job
            .last_error
            .as_deref()
            .unwrap_or_default()
            .chars()
            .take(100)
            .collect();
        let (id, state, name) = (job.id, &job.state, &job.name);
        // Writing into a text does not fail.
        let _ = writeln!(
            text,
            "{id:36}  {state:7}  {attempt:8}  {name:20}  {}",
            error.replace('\n', " ")
        );
    }
    text
}

fn details(job: &StoredJob, payload: &str) -> String {
    let described = serde_json::to_value(job).unwrap_or_default();
    let fields = described.as_object().into_iter().flatten();
    let mut text = String::new();
    for (name, value) in fields.filter(|(_, value)| !value.is_null()) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = writeln!(text, "{name:14}  {value}");
    }
    let _ = writeln!(text, "{:14}  {payload}", "payload");
    text
}
