//! Finds the programs of PostgreSQL and PgBouncer on this machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Finds a program of PostgreSQL, such as `pgbench`.
///
/// It looks for the newest version under Debian's folders, then in `PATH`, then where other systems install it.
///
/// # Panics
///
/// When there is none. The message names the package to install.
pub fn postgres_program(name: &str) -> PathBuf {
    let versioned = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"];
    find(name, &versioned, &["/usr/pgsql/bin"])
        .unwrap_or_else(|| missing(name, "postgresql", "postgresql@17"))
}

/// Finds the program of PgBouncer.
///
/// # Panics
///
/// When there is none. The message names the package to install.
pub(crate) fn pgbouncer() -> PathBuf {
    let fixed = ["/usr/sbin", "/opt/homebrew/bin", "/usr/local/bin"];
    find("pgbouncer", &[], &fixed).unwrap_or_else(|| missing("pgbouncer", "pgbouncer", "pgbouncer"))
}

fn find(program: &str, versioned: &[&str], fixed: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    versioned
        .iter()
        .flat_map(|root| versions(Path::new(root)))
        .chain(env::split_paths(&path))
        .chain(fixed.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Returns the `bin` folders of PostgreSQL under `root`, the newest version first.
fn versions(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix("postgresql@").unwrap_or(&name).parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn missing(program: &str, apt: &str, brew: &str) -> ! {
    panic!(
        "`{program}` is neither on PATH nor in its usual places; \
         install it: `apt-get install {apt}` or `brew install {brew}`"
    )
}
