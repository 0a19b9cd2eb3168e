//! Errors as they are stored in the table.

use std::error::Error;

use sea_orm::DbErr;

/// Returns an error and its causes in one line, without the passwords of URLs.
pub(crate) fn text_of(error: &(dyn Error + 'static)) -> String {
    // SeaORM's functions wrap the errors of sessions.
    if let Some(error) = error.downcast_ref::<DbErr>() {
        return text_of(&berth_database::Error::from(error.clone()));
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors repeat their cause.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    without_passwords(&text.replace('\0', ""))
}

/// Replaces what is between `://` and `@`.
fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean.push_str("://");
        let authority = part
            .find(|c: char| c == '/' || c.is_whitespace())
            .unwrap_or(part.len());
        match part[..authority].rfind('@') {
            Some(at) => clean.push_str(&format!("***{}", &part[at..])),
            None => clean.push_str(part),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_left_out() {
        let text = without_passwords("smtp://me:se@cret@mail.example/x failed, see https://help.example/a@b");
        assert_eq!(
            text,
            "smtp://***@mail.example/x failed, see https://help.example/a@b"
        );
    }
}
