//! The password from a file or a command, read for each connection attempt, so that a rotation needs no restart.

use std::io;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use sqlx::Error as SqlxError;
use tokio::process::Command;

use crate::settings::Settings;

/// Where the password comes from, if not from the URL.
#[derive(Debug)]
pub(crate) enum PasswordSource {
    /// The content of a file.
    File(PathBuf),
    /// The output of a shell command.
    Command(String),
}

impl PasswordSource {
    pub(crate) fn of(settings: &Settings) -> Option<Self> {
        let file = settings.password_file.clone().map(Self::File);
        file.or_else(|| settings.password_command.clone().map(Self::Command))
    }

    /// Reads the password.
    ///
    /// # Errors
    /// The file cannot be read or the command fails; the error names the setting and never the password.
    ///
    /// # Cancel safety
    /// Dropping the future kills the command.
    pub(crate) async fn read(&self) -> Result<String, SqlxError> {
        match self {
            Self::File(file) => match std::fs::read_to_string(file) {
                Ok(text) => password(text, "database.password_file"),
                Err(error) => Err(failed(format!("database.password_file cannot be read: {error}"))),
            },
            Self::Command(command) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", command]).stdin(Stdio::null());
                output(shell.kill_on_drop(true).output().await)
            }
        }
    }
}

fn output(output: io::Result<Output>) -> Result<String, SqlxError> {
    match output {
        Ok(output) if output.status.success() => match String::from_utf8(output.stdout) {
            Ok(text) => password(text, "database.password_command"),
            Err(_) => Err(failed(
                "database.password_command did not print UTF-8 text".to_owned(),
            )),
        },
        Ok(output) => Err(failed(format!(
            "database.password_command failed: {}",
            output.status
        ))),
        Err(error) => Err(failed(format!(
            "database.password_command cannot be run: {error}"
        ))),
    }
}

/// Cuts off the end of the line, and refuses an empty password, which a file in the middle of a rotation may hold.
fn password(text: String, setting: &str) -> Result<String, SqlxError> {
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(failed(format!("{setting} holds no password"))),
        text => Ok(text.to_owned()),
    }
}

fn failed(message: String) -> SqlxError {
    SqlxError::Io(io::Error::other(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_that_cannot_be_read_is_an_error_that_names_the_setting_only() {
        for (source, named) in [
            (
                PasswordSource::Command("echo secret; exit 3".to_owned()),
                "password_command failed",
            ),
            (
                PasswordSource::Command("echo".to_owned()),
                "password_command holds no password",
            ),
            (
                PasswordSource::Command("printf 'secret\\377'".to_owned()),
                "UTF-8",
            ),
            (
                PasswordSource::File("/no/such/secret-file".into()),
                "password_file cannot be read",
            ),
        ] {
            let error = source.read().await.unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains("secret"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_trailing_newline_is_not_part_of_the_password() {
        let source = PasswordSource::Command("printf ' a b \\r\\n'".to_owned());
        assert_eq!(source.read().await.unwrap(), " a b ");
    }
}
