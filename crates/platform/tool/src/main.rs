#![doc = include_str!("../README.md")]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a command: what it prints is its result"
)]

mod changelog;
#[cfg(feature = "entities")]
mod entities;
mod error;
mod git;
mod init;
mod manifest;
mod settings;
mod table;
mod upgrade;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Error;
use crate::git::Repository;
use crate::init::{Example, Uncommitted};
use crate::manifest::Manifest;

/// Keeps the platform of a Berth service apart from what is its owner's.
#[derive(Debug, Parser)]
#[command(name = "berth-tool", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Name the service: in its settings, deployment files, tests and documentation
    Init {
        /// Lowercase letters, digits and hyphens
        name: String,
        /// Remove the example too
        #[arg(long)]
        without_example: bool,
        /// Begin although changes are not committed
        #[arg(long)]
        allow_uncommitted: bool,
    },
    /// Write entities and services for tables that DATABASE_URL has already; without tables, list them
    #[cfg(feature = "entities")]
    Entities {
        /// As `customers`, or `auth.users` for a table of another schema, which is only read
        tables: Vec<String>,
    },
    /// Replace crates/platform by that of another version
    Upgrade {
        /// Git URL or folder of a repository that has the version
        from: String,
        /// Tag of the version
        to: String,
    },
    /// Add a table: migration, entity, service, handlers and tests
    Table {
        /// Name of a row, such as `invoice`
        name: String,
        /// Fields as `name:type`, separated by spaces; docs/tables.md lists the types
        #[arg(long, required_unless_present = "undo")]
        fields: Option<String>,
        /// Name of the table, where it is not the English plural
        #[arg(long)]
        plural: Option<String>,
        /// Take back a table that is not committed
        #[arg(long, conflicts_with = "fields")]
        undo: bool,
        /// Only print what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Add a column to a table that was made by `table`
    Column {
        /// Name of a row, such as `invoice`
        table: String,
        /// Field as `name:type?`
        field: String,
        /// Name of the table, where it is not the English plural
        #[arg(long)]
        plural: Option<String>,
        /// Only print what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Write crates/platform/MANIFEST from the files that git tracks
    Manifest {
        /// Only compare, and fail where it is out of date
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Error> {
    let here = Repository::containing(&std::env::current_dir()?)?;
    match command {
        Command::Init {
            name,
            without_example,
            allow_uncommitted,
        } => init::init(
            &here,
            &name,
            if without_example {
                Example::Remove
            } else {
                Example::Keep
            },
            if allow_uncommitted {
                Uncommitted::Allow
            } else {
                Uncommitted::Refuse
            },
        ),
        #[cfg(feature = "entities")]
        Command::Entities { tables } => entities::entities(&here, &tables),
        Command::Upgrade { from, to } => upgrade::upgrade(&here, &from, &to),
        Command::Table {
            name,
            fields,
            plural,
            undo,
            dry_run,
        } => {
            let (plural, run) = (plural.as_deref(), table::Run::of(dry_run));
            match undo {
                true => table::undo(&here, &name, plural, run),
                false => table::add(&here, &name, plural, &fields.unwrap_or_default(), run),
            }
        }
        Command::Column {
            table,
            field,
            plural,
            dry_run,
        } => table::add_column(&here, &table, plural.as_deref(), &field, table::Run::of(dry_run)),
        Command::Manifest { check: true } => {
            let (kept, found) = (Manifest::read(&here)?, Manifest::of_files(&here)?);
            let differing = kept.differing(&found);
            if differing.is_empty() && kept.version == found.version {
                Ok(())
            } else {
                Err(Error::OutOfDate(differing))
            }
        }
        Command::Manifest { check: false } => Ok(Manifest::of_files(&here)?.write(&here)?),
    }
}
