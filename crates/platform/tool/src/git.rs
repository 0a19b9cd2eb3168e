//! Runs git.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;

/// A git work tree.
#[derive(Debug)]
pub(crate) struct Repository {
    pub(crate) root: PathBuf,
}

impl Repository {
    /// The work tree that a folder is in.
    pub(crate) fn containing(folder: &Path) -> Result<Self, Error> {
        let root = git(folder, &["rev-parse", "--show-toplevel"])
            .map_err(|_| Error::NoRepository(folder.display().to_string()))?;
        Ok(Self {
            root: PathBuf::from(root.trim_end()),
        })
    }

    /// Clones one tag of a repository, without its history.
    pub(crate) fn clone_tag(from: &str, tag: &str, into: &Path) -> Result<Self, Error> {
        let target = into.display().to_string();
        let arguments = ["clone", "--quiet", "--branch", tag, from, &target];
        let quiet = ["-c", "advice.detachedHead=false"];
        let arguments: Vec<_> = quiet.into_iter().chain(arguments).collect();
        git(Path::new("."), &arguments).map_err(|error| Error::NoSuchVersion {
            from: from.to_owned(),
            tag: tag.to_owned(),
            reason: match error {
                Error::Git { reason, .. } => reason,
                other => other.to_string(),
            },
        })?;
        Ok(Self {
            root: into.to_owned(),
        })
    }

    /// What is changed and not committed, or not tracked.
    pub(crate) fn uncommitted(&self) -> Result<Vec<String>, Error> {
        Ok(lines(&git(&self.root, &["status", "--porcelain"])?))
    }

    /// The tracked files under a folder that exist, relative to the root.
    pub(crate) fn files(&self, folder: &str) -> Result<Vec<String>, Error> {
        let listed = lines(&git(
            &self.root,
            &["-c", "core.quotePath=false", "ls-files", folder],
        )?);
        Ok(listed
            .into_iter()
            .filter(|file| self.root.join(file).is_file())
            .collect())
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String, Error> {
    let output = Command::new("git").current_dir(folder).args(arguments).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Git {
        command: arguments.join(" "),
        reason: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
