//! Applies and reverts migrations. Run it before a new release starts, from as many places as you like.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a command: what it prints is its result"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use migration::{Change, Command, Environment, Settings};
use tracing_subscriber::EnvFilter;

/// Applies and reverts the schema's migrations, one run at a time however many are started.
///
/// The database is that of the service: DATABASE_URL (or APP__DATABASE__URL), DB_POOLER and APP_ENV from the
/// environment or from .env, and a SQLite file in ./data when nothing is set.
#[derive(Parser)]
#[command(name = "migration", version)]
struct Arguments {
    /// Seconds to wait for another run and for a full server.
    #[arg(long, global = true, default_value_t = 600.0, value_parser = seconds)]
    wait: f64,
    /// Seconds that a change waits for a table that is in use, before it fails and blocks nobody.
    #[arg(long, global = true, default_value_t = 5.0, value_parser = seconds)]
    lock_timeout: f64,
    /// Seconds that one statement may run.
    #[arg(long, global = true, default_value_t = 900.0, value_parser = seconds)]
    statement_timeout: f64,
    /// Confirms what can destroy data in production: down, fresh, refresh and reset.
    #[arg(long, global = true)]
    yes: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Applies pending migrations (the default).
    Up {
        /// No more than so many.
        #[arg(short = 'n', long)]
        number: Option<u32>,
    },
    /// Reverts the last migrations.
    Down {
        /// How many.
        #[arg(short = 'n', long, default_value_t = 1)]
        number: u32,
    },
    /// Lists the migrations and whether each is applied; exits with 3 if one is pending.
    Status,
    /// Drops every table, then applies all migrations.
    Fresh,
    /// Reverts all migrations, then applies them.
    Refresh,
    /// Reverts all migrations.
    Reset,
    /// Makes the file of a new migration.
    Generate {
        /// In lower case, such as create_tags.
        name: String,
        /// The folder of the crate.
        #[arg(long, default_value = "migration")]
        folder: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,migration=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    obey(&arguments).await.unwrap_or_else(|message| {
        eprintln!("{message}");
        ExitCode::FAILURE
    })
}

async fn obey(arguments: &Arguments) -> Result<ExitCode, String> {
    let environment = Environment::of_process().map_err(text)?;
    let mut settings = environment.settings().map_err(text)?;
    settings.wait = Duration::from_secs_f64(arguments.wait);
    settings.lock = Duration::from_secs_f64(arguments.lock_timeout);
    settings.statement = Duration::from_secs_f64(arguments.statement_timeout);
    let command = match &arguments.verb {
        Some(Verb::Status) => return print_status(&settings).await,
        Some(Verb::Generate { name, folder }) => return generate(folder, name),
        None => Command::Up(None),
        Some(Verb::Up { number }) => Command::Up(*number),
        Some(Verb::Down { number }) => Command::Down(*number),
        Some(Verb::Fresh) => Command::Fresh,
        Some(Verb::Refresh) => Command::Refresh,
        Some(Verb::Reset) => Command::Reset,
    };
    if command.destroys() && !arguments.yes && environment.is_production().map_err(text)? {
        return Err("this can destroy data and APP_ENV is production: confirm it with --yes".to_owned());
    }
    print_changes(&migration::run(&settings, command).await.map_err(text)?);
    Ok(ExitCode::SUCCESS)
}

fn print_changes(changes: &[Change]) {
    for change in changes {
        match change {
            Change::Applied(name) => println!("applied   {name}"),
            Change::Reverted(name) => println!("reverted  {name}"),
        }
    }
    if changes.is_empty() {
        println!("nothing to do");
    }
}

async fn print_status(settings: &Settings) -> Result<ExitCode, String> {
    let entries = migration::status(settings).await.map_err(text)?;
    for entry in &entries {
        println!(
            "{}  {}",
            if entry.applied { "applied" } else { "pending" },
            entry.name
        );
    }
    let pending = entries.iter().any(|entry| !entry.applied);
    Ok(if pending {
        ExitCode::from(3)
    } else {
        ExitCode::SUCCESS
    })
}

fn generate(folder: &Path, name: &str) -> Result<ExitCode, String> {
    let path = migration::generate::generate(folder, name, chrono::Utc::now()).map_err(text)?;
    println!(
        "made {}; its table needs a file in crates/entity as well",
        path.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn seconds(argument: &str) -> Result<f64, String> {
    let rule = || "must be a number of seconds from 0.001 to 86400".to_owned();
    let seconds: f64 = argument.parse().map_err(|_| rule())?;
    if (0.001..=86_400.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(rule())
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
