//! The manifest of a version: its number, its sections of the settings, and a checksum for each of its files.

use std::collections::BTreeMap;
use std::fmt::Write;

use semver::Version;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::git::Repository;

/// The platform's folder.
pub(crate) const PLATFORM: &str = "crates/platform";
const FILE: &str = "crates/platform/MANIFEST";
/// The sections of `config/default.toml` that the platform reads.
const SECTIONS: &[&str] = &[
    "app",
    "auth",
    "mail",
    "server",
    "cors",
    "security_headers",
    "rate_limit",
    "idempotency",
    "events",
    "startup",
    "database",
    "jobs",
    "log",
    "health",
    "monitor",
    "metrics",
    "debug",
    "telemetry",
];

/// What belongs to one version of the platform.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) version: Version,
    pub(crate) sections: Vec<String>,
    /// SHA-256 by file, relative to the root of the repository.
    checksums: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads the manifest of a repository.
    pub(crate) fn read(repository: &Repository) -> Result<Self, Error> {
        let path = repository.root.join(FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|_| Error::NoPlatform(repository.root.display().to_string()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let mut version = None;
        let mut sections = Vec::new();
        let mut checksums = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |rule| Error::Manifest {
                line: index + 1,
                rule,
            };
            match line
                .split_once(' ')
                .ok_or_else(|| wrong("must be a word and a value"))?
            {
                ("version", number) => {
                    version = Some(number.parse().map_err(|_| wrong("must be a version"))?);
                }
                ("sections", names) => sections = names.split(' ').map(str::to_owned).collect(),
                (checksum, file) => drop(checksums.insert(file.to_owned(), checksum.to_owned())),
            }
        }
        Ok(Self {
            version: version.ok_or(Error::Manifest {
                line: 1,
                rule: "must be the version",
            })?,
            sections,
            checksums,
        })
    }

    /// Computes the manifest of the files as they are.
    pub(crate) fn of_files(repository: &Repository) -> Result<Self, Error> {
        let mut checksums = BTreeMap::new();
        for file in repository.files(PLATFORM)? {
            if file != FILE {
                let content = std::fs::read(repository.root.join(&file))?;
                checksums.insert(file, hexadecimal(&Sha256::digest(content)));
            }
        }
        Ok(Self {
            version: version(repository)?,
            sections: SECTIONS.iter().map(|&name| name.to_owned()).collect(),
            checksums,
        })
    }

    pub(crate) fn write(&self, repository: &Repository) -> std::io::Result<()> {
        let mut text = format!("version {}\nsections {}\n", self.version, self.sections.join(" "));
        for (file, checksum) in &self.checksums {
            let _ = writeln!(text, "{checksum} {file}");
        }
        std::fs::write(repository.root.join(FILE), text)
    }

    /// The files that are not the same in both, with what differs.
    pub(crate) fn differing(&self, found: &Self) -> Vec<String> {
        let changed = self.checksums.iter().filter_map(|(file, checksum)| {
            let state = match found.checksums.get(file) {
                None => "removed",
                Some(other) if other != checksum => "changed",
                Some(_) => return None,
            };
            Some(format!("{state}  {file}"))
        });
        let added = found
            .checksums
            .keys()
            .filter(|file| !self.checksums.contains_key(*file));
        changed
            .chain(added.map(|file| format!("added    {file}")))
            .collect()
    }
}

/// The version that all crates of the platform have.
fn version(repository: &Repository) -> Result<Version, Error> {
    let mut versions = BTreeMap::new();
    for file in repository.files(PLATFORM)? {
        if file.ends_with("/Cargo.toml") {
            let text = std::fs::read_to_string(repository.root.join(&file))?;
            let manifest: toml_edit::DocumentMut = text.parse().map_err(|source| Error::Toml {
                file: file.clone(),
                source,
            })?;
            let version = manifest["package"]["version"]
                .as_str()
                .unwrap_or("(the workspace's)");
            versions.insert(version.to_owned(), file);
        }
    }
    match versions.keys().next().map(|version| version.parse()) {
        Some(Ok(version)) if versions.len() == 1 => Ok(version),
        _ => Err(Error::Versions(
            versions
                .iter()
                .map(|(version, file)| format!("{version}  {file}"))
                .collect(),
        )),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
