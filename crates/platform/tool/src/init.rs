//! Gives a fresh clone the name of the service that it becomes.

mod name;
mod rename;
mod secrets;

use std::path::Path;
use std::process::Command;

use crate::error::Error;
use crate::git::Repository;
use crate::manifest::PLATFORM;

use self::name::Name;
use self::rename::{Kind, renamed};
use self::secrets::DotEnv;

/// The name of the service in a clone that has not been named.
const UNNAMED: &str = "berth";
/// What keeps its name: the platform, its benchmarks and tests of SeaORM, licenses, and the names of crates.
const KEPT: &[&str] = &[
    PLATFORM,
    "bench/",
    ".ci/init",
    ".ci/tutorial",
    ".ci/sea-orm-suite/",
    "LICENSE",
    "Cargo.lock",
];
/// Sections of the README about a clone without a name.
const SECTIONS_OF_A_FRESH_CLONE: &[&str] = &["## Make it yours"];

/// Whether the example stays in the tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Example {
    Keep,
    Remove,
}

/// Whether changes that are not committed are allowed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Uncommitted {
    Refuse,
    Allow,
}

/// Names the service: in its settings, deployment files, tests and documentation.
///
/// Everything that can be refused is refused before a file changes.
pub(crate) fn init(
    here: &Repository,
    name: &str,
    example: Example,
    uncommitted: Uncommitted,
) -> Result<(), Error> {
    let name: Name = name.parse().map_err(|rule| Error::Name {
        name: name.to_owned(),
        rule,
    })?;
    let present = service_name(&here.root)?;
    if present != UNNAMED {
        return Err(Error::Named(present));
    }
    let changed = here.uncommitted()?;
    if !changed.is_empty() && (uncommitted == Uncommitted::Refuse || example == Example::Remove) {
        return Err(Error::Uncommitted(changed));
    }
    if example == Example::Remove {
        run(&here.root, Command::new("scripts/remove-example"))?;
    }
    let count = rename_files(here, &name)?;
    begin_changelog(&here.root)?;
    begin_readme(&here.root, &name)?;
    std::fs::copy(
        here.root.join("docs/openapi.json"),
        here.root.join("docs/openapi.released.json"),
    )?;
    let dotenv = secrets::write(&here.root)?;
    // Lines whose length changed with the name.
    let mut fmt = Command::new("cargo");
    fmt.args(["fmt", "--all"]);
    run(&here.root, fmt)?;
    report(&name, count, dotenv);
    Ok(())
}

fn report(name: &Name, files: usize, dotenv: DotEnv) {
    println!("The service is {name} now: {files} files were changed.");
    match dotenv {
        DotEnv::Written => println!(".env has secrets of its own; git ignores it."),
        DotEnv::Kept => println!(".env existed and was kept."),
    }
    println!("Next: git add --all && git commit --message \"Name the service {name}\", then make run");
}

/// The `name` under `[app]` in `config/default.toml`.
fn service_name(root: &Path) -> Result<String, Error> {
    let file = "config/default.toml";
    let text = std::fs::read_to_string(root.join(file))?;
    let settings: toml_edit::DocumentMut = text.parse().map_err(|source| Error::Toml {
        file: file.to_owned(),
        source,
    })?;
    let name = settings.get("app").and_then(|app| app.get("name")?.as_str());
    name.map(str::to_owned).ok_or_else(|| Error::NoTable {
        file: file.to_owned(),
        table: "app",
    })
}

/// Replaces the name in all tracked files of the service and in their paths, and returns how many changed.
fn rename_files(here: &Repository, name: &Name) -> Result<usize, Error> {
    let crates = platform_crates(&here.root)?;
    let mut count = 0;
    for path in here.files(".")? {
        if KEPT.iter().any(|kept| path.starts_with(kept)) {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(here.root.join(&path)) else {
            continue; // not text
        };
        let (new_path, new_text) = (
            renamed(&path, name, Kind::Prose, &crates),
            renamed(&text, name, Kind::of(&path), &crates),
        );
        if new_text != text {
            std::fs::write(here.root.join(&path), &new_text)?;
        }
        if new_path != path {
            std::fs::rename(here.root.join(&path), here.root.join(&new_path))?;
        }
        count += usize::from(new_text != text || new_path != path);
    }
    Ok(count)
}

/// The names of the platform's crates, without `berth-`.
fn platform_crates(root: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root.join(PLATFORM))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// Leaves the head of the changelog: what changed before is Berth's.
fn begin_changelog(root: &Path) -> std::io::Result<()> {
    let path = root.join("CHANGELOG.md");
    let text = std::fs::read_to_string(&path)?;
    let head = text.split("\n## ").next().unwrap_or_default();
    std::fs::write(path, format!("{}\n\n## Unreleased\n", head.trim_end()))
}

/// Replaces the head of the README, and removes its sections about a clone without a name.
fn begin_readme(root: &Path, name: &Name) -> std::io::Result<()> {
    let path = root.join("README.md");
    let text = std::fs::read_to_string(&path)?;
    let mut new = format!(
        "# {}\n\nA service on SeaORM 2 and actix-web 4, made from Berth. [The platform](crates/platform/README.md) never asks\n\
         PostgreSQL for more connections than it was given.\n",
        name.title()
    );
    let mut sections = text.split("\n## ");
    sections.next(); // the head
    for section in sections {
        let heading = section.lines().next().unwrap_or_default();
        if !SECTIONS_OF_A_FRESH_CLONE.contains(&format!("## {heading}").as_str()) {
            new = format!("{}\n\n## {section}", new.trim_end());
        }
    }
    std::fs::write(path, new.trim_end().to_owned() + "\n")
}

fn run(root: &Path, mut command: Command) -> Result<(), Error> {
    let status = command.current_dir(root).status()?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::Command(format!("{command:?}"))),
    }
}
