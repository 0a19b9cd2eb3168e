//! Which account the servers run as: PostgreSQL and PgBouncer refuse to run as root.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

/// The account that servers are started with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Account {
    /// The user who runs the tests.
    Own,
    /// The tests run as root, the servers as `postgres`, or `nobody` where that does not exist.
    Dropped { user: u32, group: u32 },
}

impl Account {
    /// Chooses the account by the owner of `directory`, which the present process has just made.
    pub(crate) fn for_directory(directory: &Path) -> Account {
        let owner = fs::metadata(directory)
            .expect("the directory was just made")
            .uid();
        if owner != 0 {
            return Account::Own;
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| {
                Some(Account::Dropped {
                    user: id("-u", name)?,
                    group: id("-g", name)?,
                })
            })
            .expect("an account `postgres` or `nobody`: servers refuse to run as root")
    }

    /// Hands `path` over to the account.
    pub(crate) fn own(self, path: &Path) {
        if let Account::Dropped { user, group } = self {
            chown(path, Some(user), Some(group)).expect("root may give files away");
        }
    }

    /// The words that go before a command for it to run as this account.
    pub(crate) fn prefix(self) -> Vec<OsString> {
        match self {
            Account::Own => Vec::new(),
            Account::Dropped { user, group } => [
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
