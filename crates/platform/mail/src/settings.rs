//! `[mail]`: how mails are sent. `config/default.toml` documents every key.

use std::path::PathBuf;
use std::time::Duration;

use berth_settings::{Secret, require, seconds};
use garde::Validate;
use lettre::message::Mailbox;
use serde::{Deserialize, Serialize};

/// The settings in `[mail]`.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where mails go.
    pub transport: TransportKind,
    /// Sender of all mails.
    #[garde(custom(is_mailbox))]
    pub from: String,
    /// Folder of the transport "file".
    pub folder: PathBuf,
    /// Name of the SMTP server.
    pub host: Option<String>,
    /// Port of the SMTP server.
    pub port: u16,
    /// How the connection to the SMTP server is encrypted.
    pub tls: Tls,
    /// User at the SMTP server.
    pub user: Option<String>,
    /// Password at the SMTP server.
    pub password: Option<Secret>,
    /// Certificate authority of the SMTP server.
    pub root_certificate: Option<PathBuf>,
    /// Time to send one mail.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.1, 300.0)))]
    pub timeout: Duration,
}

/// Decides where mails go.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportKind {
    /// Into the log, whole.
    Log,
    /// Into a folder, one file each.
    File,
    /// To an SMTP server.
    Smtp,
}

/// Decides how the connection to the SMTP server is encrypted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// After the command STARTTLS, without which no mail is sent.
    StartTls,
    /// From the first byte.
    Implicit,
    /// Not at all.
    None,
}

impl Settings {
    /// The key that contradicts another, with the rule that it breaks.
    pub fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        if self.transport != TransportKind::Smtp {
            return None;
        }
        if self.host.is_none() {
            return Some(("mail.host", "must be set where mail.transport is \"smtp\""));
        }
        match (&self.user, &self.password, self.tls) {
            (Some(_), Some(_), Tls::None) => Some((
                "mail.tls",
                "must not be \"none\" where mail.password is set, which would be sent readable",
            )),
            (Some(_), None, _) => Some(("mail.password", "must be set where mail.user is")),
            (None, Some(_), _) => Some(("mail.user", "must be set where mail.password is")),
            _ => None,
        }
    }
}

impl Default for Settings {
    /// The values of `config/default.toml`.
    fn default() -> Self {
        Self {
            transport: TransportKind::Log,
            from: "Berth <noreply@localhost>".to_owned(),
            folder: "data/mail".into(),
            host: None,
            port: 587,
            tls: Tls::StartTls,
            user: None,
            password: None,
            root_certificate: None,
            timeout: Duration::from_secs(30),
        }
    }
}

fn is_mailbox(text: &str, (): &()) -> garde::Result {
    require(
        text.parse::<Mailbox>().is_ok(),
        "must be an e-mail address, or a name with one, as in \"Shop <shop@example.com>\"",
    )
}
