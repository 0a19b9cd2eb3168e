//! Where settings come from, which place wins, and what is refused.

use berth_settings::{BuiltIn, ConfigError, Environment, Loaded, Secret, Sources, between};
use garde::Validate;
use serde::{Deserialize, Serialize};

const REFERENCE: &str = r#"
[app]

# Which environment this is. Variable: APP_ENV.
environment = "development"

[mail]

# Messages sent in one round. Range: 1 to 100 messages. Variable: MAIL_BATCH. Former name: chunk.
batch = 20

# Key of the mail service. Variable: MAIL_KEY.
# key = "..."

# Part of the messages that may fail. Range: 0.1 to 1.
ratio = 0.5

# Name of the sender. Default: mail.sign.
# sender = "..."

# Name under each message.
sign = "The shop"

# Port of the mail service. Range: 0 to 65535. Variable: MAIL_PORT, PORT.
# port = 25
"#;

#[derive(Debug, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
struct Mail {
    #[garde(custom(between(1, 100)))]
    batch: u32,
    #[garde(skip)]
    key: Option<Secret>,
    #[garde(custom(between(0.1, 1.0)))]
    ratio: f64,
    #[garde(skip)]
    port: Option<u16>,
    #[garde(skip)]
    sender: String,
    #[garde(skip)]
    sign: String,
}

#[test]
fn a_key_without_a_value_of_its_own_has_that_of_its_default() {
    let read = |arguments: &[(&str, &str)]| {
        let mut loaded = Sources {
            arguments: pairs(arguments),
            ..sources()
        }
        .load()
        .unwrap();
        let mail: Mail = loaded.section("mail").unwrap();
        (
            mail.sender,
            loaded.origin("mail.sender") == loaded.origin("mail.sign"),
        )
    };
    assert_eq!(read(&[]), ("The shop".to_owned(), true));
    assert_eq!(read(&[("mail.sign", "Ada")]), ("Ada".to_owned(), true));
    assert_eq!(read(&[("mail.sender", "Grace")]), ("Grace".to_owned(), false));
}

#[test]
fn later_places_replace_earlier_ones_and_each_value_has_an_origin() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("development.toml"),
        "[mail]\nbatch = 3\nratio = 0.2\n",
    )
    .unwrap();
    let mut loaded = Sources {
        folder: folder.path().to_owned(),
        dotenv: pairs(&[("MAIL_BATCH", "4"), ("MAIL_KEY", "hush")]),
        environment: pairs(&[("APP__MAIL__BATCH", "5")]),
        ..sources()
    }
    .load()
    .unwrap();
    let mail: Mail = loaded.section("mail").unwrap();
    assert_eq!((mail.batch, mail.ratio), (5, 0.2));
    assert_eq!(loaded.origin("mail.batch"), Some("environment APP__MAIL__BATCH"));
    assert_eq!(loaded.environment().unwrap(), Environment::Development);
    let shown = loaded.to_string();
    assert!(shown.contains("development.toml"), "{shown}");
    assert!(
        shown.contains("key = \"********\"") && !shown.contains("hush"),
        "{shown}"
    );
}

#[test]
fn a_former_name_works_with_a_warning() {
    for sources in [
        with_variable("APP__MAIL__CHUNK", "7"),
        Sources {
            arguments: pairs(&[("mail.chunk", "7")]),
            ..sources()
        },
    ] {
        let mut loaded = sources.load().unwrap();
        assert_eq!(loaded.section::<Mail>("mail").unwrap().batch, 7);
        assert!(
            loaded.warnings()[0].contains("`mail.batch`"),
            "{:?}",
            loaded.warnings()
        );
    }
    let both = [("APP__MAIL__CHUNK", "7"), ("MAIL_BATCH", "8")];
    let error = Sources {
        environment: pairs(&both),
        ..sources()
    }
    .load()
    .unwrap_err();
    assert!(error.rule.contains("set twice"), "{error}");
}

#[test]
fn a_misspelled_variable_is_refused_with_the_name_that_was_meant() {
    for (name, meant) in [
        ("MAIL_BATHC", "MAIL_BATCH"),
        ("MAILBATCH", "MAIL_BATCH"),
        ("mail_batch", "MAIL_BATCH"),
        ("APP_MAIL_BATCH", "APP__MAIL__BATCH"),
        ("APP__MAIL__BACTH", "mail.batch"),
    ] {
        let error = with_variable(name, "hush").load().unwrap_err().to_string();
        assert!(
            error.contains(meant) && error.contains(name) && !error.contains("hush"),
            "{error}"
        );
    }
    for other in ["PATH", "MAIL", "MAIL_HOST", "PORTS"] {
        assert!(with_variable(other, "x").load().is_ok(), "{other}");
    }
}

#[test]
fn a_value_that_does_not_fit_is_refused_with_key_value_origin_and_rule() {
    for (name, value, message) in [
        (
            "MAIL_BATCH",
            "0",
            "mail.batch = 0 (from environment MAIL_BATCH): must be from 1 to 100",
        ),
        (
            "MAIL_BATCH",
            "many",
            "mail.batch = \"many\" (from environment MAIL_BATCH): must be a whole number from 1 to 100 messages",
        ),
        (
            "MAIL_BATCH",
            "2.5",
            "mail.batch = 2.5 (from environment MAIL_BATCH): must be a whole number from 1 to 100 messages",
        ),
        (
            "PORT",
            "70000",
            "mail.port = 70000 (from environment PORT): must be a whole number from 0 to 65535",
        ),
    ] {
        assert_eq!(
            read(&with_variable(name, value)).unwrap_err().to_string(),
            message
        );
    }
}

#[test]
fn a_file_with_a_secret_in_a_broken_line_is_refused_without_showing_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("default.toml"),
        "[mail]\nkey = \"hush\nbatch = 1\n",
    )
    .unwrap();
    let error = Sources {
        folder: folder.path().to_owned(),
        ..sources()
    }
    .load()
    .unwrap_err()
    .to_string();
    assert!(error.contains("line 2") && !error.contains("hush"), "{error}");
    std::fs::write(folder.path().join("default.toml"), "[mail]\nkey = [\"hush\"]\n").unwrap();
    let error = read(&Sources {
        folder: folder.path().to_owned(),
        ..sources()
    })
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("mail.key = ********") && !error.contains("hush"),
        "{error}"
    );
}

#[test]
fn debug_output_shows_no_value() {
    let loaded = with_variable("MAIL_KEY", "hush").load().unwrap();
    assert!(!format!("{loaded:?}").contains("hush"));
}

fn read(sources: &Sources) -> Result<Mail, ConfigError> {
    let mut loaded: Loaded = sources.load()?;
    loaded.section("mail")
}

fn sources() -> Sources {
    Sources::new(BuiltIn {
        default: REFERENCE,
        environments: &[("development", "")],
    })
}

fn with_variable(name: &str, value: &str) -> Sources {
    Sources {
        environment: pairs(&[(name, value)]),
        ..sources()
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
