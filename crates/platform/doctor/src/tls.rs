//! Checks that the connection is encrypted and the server verified.

use berth_database::Settings;
use berth_database::diagnostics::{Tls, tls};

use crate::Finding;

/// Reports the TLS mode of the settings, which applies because a connection has been opened with them.
pub(crate) fn finding(settings: &Settings) -> Finding {
    match tls(settings) {
        Ok(Tls::Verified) => Finding::pass("tls", "encrypted, and the server's certificate is verified"),
        Ok(Tls::Required) => Finding::warn(
            "tls",
            "encrypted, but the server's identity is not verified",
            "download the CA certificate (Supabase: Settings, Database, SSL) and set its path in \
             database.root_certificate",
        ),
        Ok(Tls::IfOffered) => Finding::warn(
            "tls",
            "encrypted only if the server offers it, without a warning if it does not",
            "set sslmode=verify-full, or at least require, in DATABASE_URL",
        ),
        Ok(Tls::Local) => Finding::pass("tls", "not encrypted: the database is on this machine"),
        Ok(Tls::Off) => Finding::warn(
            "tls",
            "not encrypted: the data can be read on the network",
            "set sslmode=verify-full in DATABASE_URL; use no TLS only in a trusted private network",
        ),
        Err(failure) => Finding::fail("tls", failure.message, "correct DATABASE_URL"),
    }
}
