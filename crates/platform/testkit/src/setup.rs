//! What lies in a cluster's directory before its first start.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::binaries;
use crate::cluster::ClusterOptions;
use crate::cluster_info::{Place, SUPERUSER};
use crate::watchdog::Watchdog;

/// Writes what the directory holds before the server's own files: certificates, and the superuser's password.
pub(crate) fn prepare(place: &Place, guardian: &Watchdog) {
    let tls = place.directory.join("tls");
    let password_file = place.directory.join("superuser-password");
    for folder in [&tls, &place.socket_folder()] {
        DirBuilder::new()
            .mode(0o700)
            .create(folder)
            .expect("the directory was just made");
        guardian.hand_over(folder);
    }
    place.certificates().write();
    fs::write(&password_file, &place.superuser_password).expect("the directory was just made");
    let key = place.certificates().key(true);
    fs::set_permissions(&key, private()).expect("the key was just written");
    for path in [
        &place.directory,
        &password_file,
        &key,
        &place.certificates().chain(true),
    ] {
        guardian.hand_over(path);
    }
}

/// The command that makes the server's files.
pub(crate) fn initdb(place: &Place) -> Vec<OsString> {
    let mut command = vec![binaries::postgres("initdb").into()];
    command.extend(
        [
            "--no-sync",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "-U",
            SUPERUSER,
        ]
        .map(OsString::from),
    );
    command.extend([
        "--pwfile".into(),
        place.directory.join("superuser-password").into(),
    ]);
    command.extend(["-D".into(), place.directory.join("data").into()]);
    command
}

/// Writes the server's configuration.
pub(crate) fn configure(place: &Place, options: ClusterOptions) {
    let data = place.directory.join("data");
    let hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    for (name, text) in [
        ("pg_hba.conf", hba),
        ("postgresql.conf", &settings(place, options)),
    ] {
        fs::write(data.join(name), text).expect("the data directory can be written");
    }
}

fn private() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o600)
}

fn settings(place: &Place, options: ClusterOptions) -> String {
    let tls = place.certificates();
    let path = |path: PathBuf| path.display().to_string();
    [
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("unix_socket_directories", path(place.socket_folder())),
        ("max_connections", options.max_connections.to_string()),
        ("superuser_reserved_connections", "3".to_owned()),
        ("ssl", "on".to_owned()),
        ("ssl_cert_file", path(tls.chain(true))),
        ("ssl_key_file", path(tls.key(true))),
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
