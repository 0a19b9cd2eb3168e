//! The command line of a service's migrations.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the command's output")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use berth_settings::{BuiltIn, Environment, Sources};
use clap::{Parser, Subcommand};
use sea_orm_migration::MigratorTraitSelf;
use tracing_subscriber::EnvFilter;

use crate::{Change, Command, Settings};

/// Apply and revert migrations, one run at a time.
///
/// The settings of the database are those of the service: the configuration files, .env and the environment.
#[derive(Parser)]
#[command(name = "migration", version)]
struct Cli {
    /// Seconds to wait for another run, and for a connection while the server is full
    #[arg(long, global = true, default_value_t = 600.0, value_parser = seconds)]
    wait: f64,
    /// Seconds that a statement waits for a table lock before it fails; no limit for migrations without a transaction
    #[arg(long, global = true, default_value_t = 5.0, value_parser = seconds)]
    lock_timeout: f64,
    /// Seconds that one statement may run
    #[arg(long, global = true, default_value_t = 900.0, value_parser = seconds)]
    statement_timeout: f64,
    /// Confirm a command that can destroy data in production: down, fresh, refresh or reset
    #[arg(long, global = true)]
    yes: bool,
    /// Folder whose files override the built-in default.toml and {environment}.toml
    #[arg(long, value_name = "FOLDER", default_value = "config", global = true)]
    config_dir: PathBuf,
    #[command(subcommand)]
    command: Option<CliCommand>,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Apply pending migrations (the default)
    Up {
        /// Number of migrations [default: all]
        #[arg(short = 'n', long)]
        number: Option<u32>,
    },
    /// Revert the last migrations
    Down {
        /// Number of migrations
        #[arg(short = 'n', long, default_value_t = 1)]
        number: u32,
    },
    /// List the migrations and their state; exits with 3 if one is pending or an index is invalid
    Status,
    /// Drop every table, then apply all migrations
    Fresh,
    /// Revert all migrations, then apply them
    Refresh,
    /// Revert all migrations
    Reset,
    /// Create the file of a new migration
    Generate {
        /// Name of the migration in lower case, such as create_tags
        name: String,
        /// Folder of the migration crate
        #[arg(long, default_value = "migration")]
        folder: PathBuf,
    },
}

/// Parses the command line, runs the command with a service's migrations, and returns the exit code.
///
/// Reads the settings as the service does: from the built-in files, `config/`, `.env` and the environment.
pub async fn main(migrator: impl MigratorTraitSelf, built_in: BuiltIn) -> ExitCode {
    let cli = Cli::parse();
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,berth_migrate=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    run(&cli, migrator, built_in).await.unwrap_or_else(|message| {
        eprintln!("{message}");
        ExitCode::FAILURE
    })
}

async fn run(cli: &Cli, migrator: impl MigratorTraitSelf, built_in: BuiltIn) -> Result<ExitCode, String> {
    if let Some(CliCommand::Generate { name, folder }) = &cli.command {
        return generate(folder, name);
    }
    let (settings, environment) = settings(cli, built_in).map_err(text)?;
    let command = match &cli.command {
        Some(CliCommand::Status) => return print_status(migrator, &settings).await,
        None | Some(CliCommand::Generate { .. }) => Command::Up(None),
        Some(CliCommand::Up { number }) => Command::Up(*number),
        Some(CliCommand::Down { number }) => Command::Down(*number),
        Some(CliCommand::Fresh) => Command::Fresh,
        Some(CliCommand::Refresh) => Command::Refresh,
        Some(CliCommand::Reset) => Command::Reset,
    };
    if command.destroys() && !cli.yes && environment == Environment::Production {
        return Err(
            "this command can destroy data, and APP_ENV is production: confirm it with --yes".to_owned(),
        );
    }
    print_changes(&crate::run(migrator, &settings, command).await.map_err(text)?);
    Ok(ExitCode::SUCCESS)
}

/// Loads the settings of a run, and the environment.
fn settings(cli: &Cli, built_in: BuiltIn) -> Result<(Settings, Environment), berth_settings::ConfigError> {
    let mut loaded = Sources::of_process(built_in, cli.config_dir.clone(), Vec::new())?.load()?;
    let mut settings = Settings::new(loaded.section("database")?);
    settings.wait = Duration::from_secs_f64(cli.wait);
    settings.lock = Duration::from_secs_f64(cli.lock_timeout);
    settings.statement = Duration::from_secs_f64(cli.statement_timeout);
    Ok((settings, loaded.environment()?))
}

fn print_changes(changes: &[Change]) {
    for change in changes {
        match change {
            Change::Applied(name) => println!("applied   {name}"),
            Change::Reverted(name) => println!("reverted  {name}"),
        }
    }
    if changes.is_empty() {
        println!("no changes");
    }
}

async fn print_status(migrator: impl MigratorTraitSelf, settings: &Settings) -> Result<ExitCode, String> {
    let entries = crate::status(migrator, settings).await.map_err(text)?;
    for entry in &entries {
        println!(
            "{}  {}",
            if entry.applied { "applied" } else { "pending" },
            entry.name
        );
    }
    let invalid = crate::invalid_indexes(settings).await.map_err(text)?;
    for index in &invalid {
        println!("invalid  index {index}: drop it, or rebuild it with REINDEX INDEX CONCURRENTLY");
    }
    let pending = entries.iter().any(|entry| !entry.applied);
    Ok(if pending || !invalid.is_empty() {
        ExitCode::from(3)
    } else {
        ExitCode::SUCCESS
    })
}

fn generate(folder: &Path, name: &str) -> Result<ExitCode, String> {
    let path = crate::generate::generate(folder, name, chrono::Utc::now()).map_err(text)?;
    println!(
        "created {}; a new table also needs a file in crates/entity",
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
