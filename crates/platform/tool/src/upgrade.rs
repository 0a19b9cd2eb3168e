//! Replaces the platform of a service by another version.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::git::Repository;
use crate::manifest::{Manifest, PLATFORM};
use crate::{changelog, settings, workspace};

/// Upgrades the platform of the repository `here` to the tag `to` of the repository `from`.
///
/// Everything that can be refused is refused before anything changes.
pub(crate) fn upgrade(here: &Repository, from: &str, to: &str) -> Result<(), Error> {
    let uncommitted = here.uncommitted()?;
    if !uncommitted.is_empty() {
        return Err(Error::Unclean(uncommitted));
    }
    let manifest = Manifest::read(here)?;
    let changed = manifest.differing(&Manifest::of_files(here)?);
    if !changed.is_empty() {
        return Err(Error::Changed(changed));
    }
    let scratch = Scratch::new(here)?;
    let new = Repository::clone_tag(from, to, &scratch.0)?;
    let new_manifest = checked(&new, from)?;
    match new_manifest.version.cmp(&manifest.version) {
        std::cmp::Ordering::Greater => {}
        std::cmp::Ordering::Equal => return Err(Error::SameVersion(manifest.version)),
        std::cmp::Ordering::Less => {
            return Err(Error::Downgrade {
                here: manifest.version,
                there: new_manifest.version,
                tag: to.to_owned(),
            });
        }
    }
    let log = std::fs::read_to_string(new.root.join(PLATFORM).join("CHANGELOG.md"))?;
    println!(
        "{}",
        changelog::between(&log, &manifest.version, &new_manifest.version)
    );
    replace(here, &new)?;
    for change in raise_workspace(here, &new)? {
        println!("Cargo.toml: {change}");
    }
    for key in enter_settings(here, &new, &new_manifest.sections)? {
        println!("config/default.toml: {key} is new");
    }
    println!(
        "The platform is {} now (was {}). Run `make check` and `make test`, then commit.\n\
         Until then `git restore . && git clean -fd {PLATFORM}` brings everything back.",
        new_manifest.version, manifest.version
    );
    Ok(())
}

/// The manifest of the new version, whose files must be those that it lists.
fn checked(new: &Repository, from: &str) -> Result<Manifest, Error> {
    let manifest = Manifest::read(new).map_err(|error| match error {
        Error::NoPlatform(_) => Error::NoPlatform(from.to_owned()),
        error => error,
    })?;
    let differing = manifest.differing(&Manifest::of_files(new)?);
    if differing.is_empty() {
        Ok(manifest)
    } else {
        Err(Error::Damaged(differing))
    }
}

fn replace(here: &Repository, new: &Repository) -> Result<(), Error> {
    let files = new.files(PLATFORM)?;
    for file in here.files(PLATFORM)? {
        std::fs::remove_file(here.root.join(file))?;
    }
    for file in files {
        let target = here.root.join(&file);
        std::fs::create_dir_all(target.parent().unwrap_or(Path::new(".")))?;
        // With its permissions.
        std::fs::copy(new.root.join(&file), target)?;
    }
    remove_empty_folders(&here.root.join(PLATFORM))?;
    Ok(())
}

fn remove_empty_folders(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_empty_folders(&path)?;
        }
    }
    if std::fs::read_dir(folder)?.next().is_none() {
        std::fs::remove_dir(folder)?;
    }
    Ok(())
}

fn raise_workspace(here: &Repository, new: &Repository) -> Result<Vec<String>, Error> {
    let own = here.root.join("Cargo.toml");
    let needed = std::fs::read_to_string(new.root.join("Cargo.toml"))?;
    let (text, changes) = workspace::raise(&std::fs::read_to_string(&own)?, &needed)?;
    std::fs::write(own, text)?;
    Ok(changes)
}

fn enter_settings(here: &Repository, new: &Repository, sections: &[String]) -> Result<Vec<String>, Error> {
    let own = here.root.join("config/default.toml");
    let reference = std::fs::read_to_string(new.root.join("config/default.toml"))?;
    let (text, entered) = settings::enter_new(&std::fs::read_to_string(&own)?, &reference, sections);
    std::fs::write(own, text)?;
    Ok(entered)
}

/// A folder for the new version, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    /// Inside of `.git`, so that it is not a file of the working tree.
    fn new(here: &Repository) -> Result<Self, Error> {
        let folder = here.root.join(".git/berth-upgrade");
        if folder.exists() {
            // Left by a run that was interrupted.
            std::fs::remove_dir_all(&folder)?;
        }
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
