//! The file `.env`, read beside the environment so that its values can be told apart.

use std::io::ErrorKind;
use std::path::Path;

use crate::ConfigError;

type Variables = Vec<(String, String)>;

/// Stands for a `$` that dotenvy would replace with a variable, while the file is read for comparison.
const DOLLAR: char = '\u{e000}';
/// Stands before a `#` that dotenvy would take for a comment although it follows `=` directly.
const MARK: char = '\u{e001}';

/// Reads the variables of a `.env` file; none where there is no file.
pub(crate) fn read(path: &Path) -> Result<Variables, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(text.trim_start_matches('\u{feff}')),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(ConfigError::new(".env", "must be UTF-8 text"))
        }
        Err(error) => Err(ConfigError::new(".env", format!("cannot be read: {error}"))),
    }
}

/// Parses the file, and refuses values that dotenvy changes: a password with a `$` must not lose a part of it.
///
/// The file is parsed a second time with the special characters replaced. A value that differs was changed.
fn parse(text: &str) -> Result<Variables, ConfigError> {
    let literal = variables(&without_special_characters(text))?;
    let changed = variables(text)?;
    for ((name, value), (_, literal)) in changed.iter().zip(literal) {
        if *value != literal.replace(DOLLAR, "$").replace(MARK, "") {
            let rule = "contains a `$` or begins with a `#` (from .env): put the value in single quotes";
            return Err(ConfigError::new(name, rule));
        }
    }
    Ok(changed)
}

fn variables(text: &str) -> Result<Variables, ConfigError> {
    let pairs = dotenvy::from_read_iter(text.as_bytes());
    pairs
        .collect::<Result<_, _>>()
        .map_err(|error| ConfigError::new(".env", rule(text, &error)))
}

fn without_special_characters(text: &str) -> String {
    let mut literal = String::new();
    let (mut escaped, mut previous) = (false, ' ');
    for character in text.chars() {
        match character {
            '$' if !escaped => literal.push(DOLLAR),
            '#' if previous == '=' => literal.extend([MARK, '#']),
            other => literal.push(other),
        }
        escaped = character == '\\' && !escaped;
        previous = character;
    }
    literal
}

/// Replaces dotenvy's own text, which quotes the line or the value: it may hold a secret.
fn rule(text: &str, error: &dotenvy::Error) -> String {
    let dotenvy::Error::LineParse(unparsed, _) = error else {
        return "cannot be read".to_owned();
    };
    let before = text
        .split_once(unparsed.as_str())
        .map_or("", |(before, _)| before);
    let line = before.matches('\n').count();
    let name = text.lines().nth(line).and_then(|line| line.split_once('='));
    let name = name.map_or("", |(name, _)| name.trim_start_matches("export ").trim());
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let variable = match !name.is_empty() && name.chars().all(is_name) {
        true => format!(" (`{name}`)"),
        false => String::new(),
    };
    format!(
        "cannot parse line {}{variable}: a value with spaces, quotes, `#`, `$` or `\\` must be in single quotes",
        line + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let error = parse(text).expect_err(text).to_string();
        assert!(!error.contains("hush"), "{text}: {error}");
        assert!(error.contains("single quotes"), "{text}: {error}");
        error
    }

    #[test]
    fn values_that_would_be_changed_are_refused_by_name() {
        for value in [
            "hush$word",
            "$hush",
            "hush$",
            "hush$$hush",
            "\"hush$word\"",
            "${HOME}hush",
            r"hush\\$word",
            "#hush",
            "'hush'$hush",
        ] {
            let error = refused(&format!("A=1\nDB_PASSWORD={value}\nB=2\n"));
            assert!(error.contains("DB_PASSWORD"), "{value}: {error}");
        }
    }

    #[test]
    fn values_that_cannot_be_parsed_are_refused_by_line_and_name() {
        for value in ["'hush", "\"hush", "hush hush", "${hush", r"hush\x", "'hush' hush"] {
            for start in ["", "export "] {
                let error = refused(&format!("A=1\n{start}DB_PASSWORD={value}"));
                assert!(error.contains("line 2 (`DB_PASSWORD`)"), "{value}: {error}");
            }
        }
        for line in ["hush", "hush/hush=", "=hush", "hush hush=1"] {
            let error = refused(&format!("A=1\n\n{line}\n"));
            assert!(error.contains("line 3:"), "{line}: {error}");
        }
    }

    #[test]
    fn other_values_are_read_as_they_stand() {
        for (written, value) in [
            ("'a$b'", "a$b"),
            ("'$HOME'", "$HOME"),
            ("'#a'", "#a"),
            ("'a=#b'", "a=#b"),
            ("\"a\\$b\"", "a$b"),
            (r"a\$b", "a$b"),
            (r"'a\$b'", r"a\$b"),
            ("a#b", "a#b"),
            ("a # comment with a $", "a"),
            ("\"a b\"", "a b"),
            ("", ""),
        ] {
            let text = format!("DB_PASSWORD={written}\nB=2\n");
            let expected =
                [("DB_PASSWORD", value), ("B", "2")].map(|(name, value)| (name.into(), value.into()));
            assert_eq!(parse(&text).unwrap(), expected, "{written}");
        }
    }

    #[test]
    fn a_file_with_a_byte_order_mark_is_read_and_one_of_another_encoding_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        assert_eq!(read(&path).unwrap(), []);
        std::fs::write(&path, "\u{feff}A=1\n").unwrap();
        assert_eq!(read(&path).unwrap(), [("A".to_owned(), "1".to_owned())]);
        std::fs::write(&path, b"A=hush\xff\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("UTF-8") && !error.contains("hush"), "{error}");
    }
}
