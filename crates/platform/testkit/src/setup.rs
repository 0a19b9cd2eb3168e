//! Writes the files of a cluster before its first start.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

use crate::binaries::postgres_program;
use crate::certificates::Certificate;
use crate::cluster::ClusterOptions;
use crate::cluster_info::{ClusterInfo, SUPERUSER};
use crate::watchdog::Watchdog;

/// Writes what `initdb` and the server read: certificates, and the superuser's password.
pub(crate) fn prepare(info: &ClusterInfo, watchdog: &Watchdog) {
    for folder in [info.certificates().folder, info.socket_folder()] {
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.expect("the directory was just made");
        watchdog.give_to_user(&folder);
    }
    info.certificates().write();
    let password_file = info.directory.join("superuser-password");
    fs::write(&password_file, &info.superuser_password).expect("the directory was just made");
    let key = info.certificates().key(Certificate::Trusted);
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("the key was just written");
    let chain = info.certificates().chain(Certificate::Trusted);
    for path in [&info.directory, &password_file, &key, &chain] {
        watchdog.give_to_user(path);
    }
}

/// Returns the command that makes the server's files.
pub(crate) fn initdb(info: &ClusterInfo) -> Vec<OsString> {
    let options = "--no-sync --auth=scram-sha-256 --encoding=UTF8 --locale=C -U";
    let mut command = vec![postgres_program("initdb").into()];
    command.extend(
        options
            .split(' ')
            .chain([SUPERUSER, "--pwfile"])
            .map(OsString::from),
    );
    command.push(info.directory.join("superuser-password").into());
    command.extend(["-D".into(), info.directory.join("data").into()]);
    command
}

/// Writes the server's configuration.
pub(crate) fn configure(info: &ClusterInfo, options: ClusterOptions) {
    let data = info.directory.join("data");
    let hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    let settings = settings(info, options);
    for (name, text) in [("pg_hba.conf", hba), ("postgresql.conf", &settings)] {
        fs::write(data.join(name), text).expect("the data directory can be written");
    }
}

fn settings(info: &ClusterInfo, options: ClusterOptions) -> String {
    let chain = info.certificates().chain(Certificate::Trusted);
    let key = info.certificates().key(Certificate::Trusted);
    [
        ("listen_addresses", "127.0.0.1".to_owned()),
        (
            "unix_socket_directories",
            info.socket_folder().display().to_string(),
        ),
        ("max_connections", options.max_connections.to_string()),
        ("superuser_reserved_connections", "3".to_owned()),
        ("ssl", "on".to_owned()),
        ("ssl_cert_file", chain.display().to_string()),
        ("ssl_key_file", key.display().to_string()),
        ("password_encryption", "scram-sha-256".to_owned()),
        ("timezone", "UTC".to_owned()),
        // Nothing here has to survive a crash of the machine.
        ("fsync", "off".to_owned()),
        ("synchronous_commit", "off".to_owned()),
        ("full_page_writes", "off".to_owned()),
        ("wal_level", "minimal".to_owned()),
        ("max_wal_senders", "0".to_owned()),
        ("checkpoint_timeout", "1h".to_owned()),
        ("shared_buffers", "32MB".to_owned()),
        // Its workers would connect to templates that are about to be copied.
        ("autovacuum", "off".to_owned()),
    ]
    .map(|(name, value)| format!("{name} = '{value}'\n"))
    .concat()
}
