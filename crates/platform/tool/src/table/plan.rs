//! Changes of files that are made together or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The changes, which are only in memory until they are applied.
#[derive(Debug)]
pub(crate) struct Plan {
    root: PathBuf,
    changes: BTreeMap<String, Change>,
}

#[derive(Debug)]
struct Change {
    before: Option<Vec<u8>>,
    after: Option<String>,
}

impl Plan {
    /// No changes yet, of files below this folder.
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            changes: BTreeMap::new(),
        }
    }

    /// The content of a file as it would be.
    pub(crate) fn read(&self, file: &str) -> Result<String, Error> {
        if let Some(Change {
            after: Some(text), ..
        }) = self.changes.get(file)
        {
            return Ok(text.clone());
        }
        std::fs::read_to_string(self.root.join(file)).map_err(|source| Error::File {
            file: file.to_owned(),
            source,
        })
    }

    /// Creates or changes a file.
    pub(crate) fn write(&mut self, file: &str, text: String) {
        self.set(file, Some(text));
    }

    /// Removes a file.
    pub(crate) fn remove(&mut self, file: &str) {
        self.set(file, None);
    }

    fn set(&mut self, file: &str, after: Option<String>) {
        let root = &self.root;
        let change = self.changes.entry(file.to_owned()).or_insert_with(|| Change {
            before: std::fs::read(root.join(file)).ok(),
            after: None,
        });
        change.after = after;
    }

    /// Edits a file by a function, which returns `None` where the file does not have the expected form.
    pub(crate) fn edit(
        &mut self,
        file: &str,
        edit: impl FnOnce(&str) -> Option<String>,
    ) -> Result<(), Error> {
        let text = self.read(file)?;
        let edited = edit(&text).ok_or_else(|| Error::Form {
            file: file.to_owned(),
        })?;
        self.write(file, edited);
        Ok(())
    }

    /// The changes as text: the files, with the lines that are new or gone in those that stay.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        for (file, change) in &self.changes {
            let before = change.before.as_deref().map(String::from_utf8_lossy);
            match (before, &change.after) {
                (Some(before), Some(after)) => {
                    text += &format!("change  {file}\n");
                    for line in after
                        .lines()
                        .filter(|line| !before.lines().any(|old| old == *line))
                    {
                        text += &format!("        + {}\n", line.trim());
                    }
                    for line in before
                        .lines()
                        .filter(|line| !after.lines().any(|new| new == *line))
                    {
                        text += &format!("        - {}\n", line.trim());
                    }
                }
                (None, Some(after)) => text += &format!("create  {file} ({} lines)\n", after.lines().count()),
                (_, None) => text += &format!("remove  {file}\n"),
            }
        }
        text
    }

    /// Makes the changes, then runs `finish`. A failure of either takes all of them back.
    pub(crate) fn apply(&self, finish: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let made = self.make().and_then(|()| finish());
        if made.is_err() {
            self.restore();
        }
        made
    }

    fn make(&self) -> Result<(), Error> {
        for (file, change) in &self.changes {
            let path = self.root.join(file);
            let made = match &change.after {
                Some(text) => std::fs::write(&path, text),
                None => std::fs::remove_file(&path),
            };
            made.map_err(|source| Error::File {
                file: file.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn restore(&self) {
        for (file, change) in &self.changes {
            let path = self.root.join(file);
            // What cannot be restored could not be changed either.
            let _ = match &change.before {
                Some(bytes) => std::fs::write(path, bytes),
                None => std::fs::remove_file(path),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_in_the_middle_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        std::fs::write(path.join("a"), "old\n").expect("a file");
        let mut plan = Plan::new(path);
        plan.write("a", "new\n".to_owned());
        plan.write("b", "new\n".to_owned());
        plan.write("missing/c", "new\n".to_owned());
        assert!(plan.apply(|| Ok(())).is_err());
        assert_eq!(std::fs::read_to_string(path.join("a")).expect("kept"), "old\n");
        assert!(!path.join("b").exists());

        let mut plan = Plan::new(path);
        plan.write("b", "new\n".to_owned());
        plan.remove("a");
        assert!(plan.apply(|| Err(Error::name("b", "is wrong"))).is_err());
        assert!(path.join("a").exists() && !path.join("b").exists());
        assert!(plan.apply(|| Ok(())).is_ok());
        assert!(!path.join("a").exists() && path.join("b").exists());
    }
}
