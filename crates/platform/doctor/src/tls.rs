//! Who can read along.

use berth_database::Settings;
use berth_database::diagnostics::{Tls, tls};

use crate::Finding;

/// Says what the settings ask for; the connection stands, so they got it.
pub(crate) fn finding(settings: &Settings) -> Finding {
    match tls(settings) {
        Ok(Tls::Verified) => Finding::pass("tls", "encrypted, and the server's certificate is checked"),
        Ok(Tls::Required) => Finding::warn(
            "tls",
            "encrypted, and nobody checks who answers",
            "download the authority's certificate (Supabase: Settings, Database, SSL) and name its file in \
             database.root_certificate",
        ),
        Ok(Tls::IfOffered) => Finding::warn(
            "tls",
            "encrypted only if the server offers it; if it did not, nobody would be told",
            "sslmode=verify-full, or at least require, in DATABASE_URL",
        ),
        Ok(Tls::Local) => Finding::pass("tls", "none: the database is on this machine"),
        Ok(Tls::Off) => Finding::warn(
            "tls",
            "none: whoever is on the way reads the password and the data",
            "sslmode=verify-full in DATABASE_URL; without it only in a private network that you trust",
        ),
        Err(failure) => Finding::fail("tls", failure.message, "correct DATABASE_URL"),
    }
}
