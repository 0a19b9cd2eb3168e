//! The operating system's user that servers run as: PostgreSQL and PgBouncer refuse to run as root.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

/// The user that servers are started as.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OsUser {
    /// The user who runs the tests.
    Current,
    /// `postgres`, or `nobody` where that does not exist, because the tests run as root.
    Other { user: u32, group: u32 },
}

impl OsUser {
    /// Chooses the user by the owner of `directory`, which this process has just made.
    pub(crate) fn for_directory(directory: &Path) -> OsUser {
        let metadata = fs::metadata(directory).expect("the directory was just made");
        if metadata.uid() != 0 {
            return OsUser::Current;
        }
        let ids = |name| {
            Some(OsUser::Other {
                user: id("-u", name)?,
                group: id("-g", name)?,
            })
        };
        ["postgres", "nobody"]
            .into_iter()
            .find_map(ids)
            .expect("a user `postgres` or `nobody`: servers refuse to run as root")
    }

    /// Makes the user the owner of `path`.
    pub(crate) fn own(self, path: &Path) {
        if let OsUser::Other { user, group } = self {
            chown(path, Some(user), Some(group)).expect("root may change owners");
        }
    }

    /// Returns the words before a command that make it run as this user.
    pub(crate) fn prefix(self) -> Vec<OsString> {
        let OsUser::Other { user, group } = self else {
            return Vec::new();
        };
        let words = format!("setpriv --reuid {user} --regid {group} --clear-groups");
        words.split(' ').map(OsString::from).collect()
    }
}

fn id(flag: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, name]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
