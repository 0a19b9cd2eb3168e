//! Which account the servers run as: PostgreSQL and PgBouncer refuse to run as root.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

/// The account that servers are started with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OsUser {
    /// The user who runs the tests.
    Own,
    /// The tests run as root, the servers as `postgres`, or `nobody` where that does not exist.
    Dropped { user: u32, group: u32 },
}

impl OsUser {
    /// Chooses the account by the owner of `directory`, which the present process has just made.
    pub(crate) fn for_directory(directory: &Path) -> OsUser {
        let owner = fs::metadata(directory)
            .expect("the directory was just made")
            .uid();
        if owner != 0 {
            return OsUser::Own;
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| {
                Some(OsUser::Dropped {
                    user: id("-u", name)?,
                    group: id("-g", name)?,
                })
            })
            .expect("an account `postgres` or `nobody`: servers refuse to run as root")
    }

    /// Hands `path` over to the account.
    pub(crate) fn own(self, path: &Path) {
        if let OsUser::Dropped { user, group } = self {
            chown(path, Some(user), Some(group)).expect("root may give files away");
        }
    }

    /// The words that go before a command for it to run as this account.
    pub(crate) fn prefix(self) -> Vec<OsString> {
        match self {
            OsUser::Own => Vec::new(),
            OsUser::Dropped { user, group } => [
                "setpriv",
                "--reuid",
                &user.to_string(),
                "--regid",
                &group.to_string(),
                "--clear-groups",
            ]
            .map(OsString::from)
            .into(),
        }
    }
}

fn id(flag: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, name]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
