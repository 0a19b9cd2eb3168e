//! Settings that break a rule are refused with key, value and rule.

use std::time::Duration;

use berth_database::{Database, Pooler, Settings, Strategy};

use crate::fixture::{number, test_pool_with};

fn broken(change: impl FnOnce(&mut Settings)) -> String {
    let mut settings = Settings::for_url("postgres://me:geheim@db.example/app").unwrap();
    change(&mut settings);
    Database::new(settings).unwrap_err().to_string()
}

#[tokio::test]
async fn a_rule_that_is_broken_is_named_with_its_key_and_value() {
    for (error, words) in [
        (
            broken(|settings| settings.limit = 0),
            ["database.limit", "0", "from 1 to 10000"],
        ),
        (
            broken(|settings| settings.reserve = 15),
            ["database.reserve", "15", "below the limit"],
        ),
        (
            broken(|settings| settings.max_overflow = 20),
            ["database.max_overflow", "20", "limit - reserve (13)"],
        ),
        (
            broken(|settings| settings.pool_size = 14),
            ["database.pool_size", "14", "limit - reserve (13)"],
        ),
        (
            broken(|settings| (settings.pool_size, settings.max_overflow) = (0, 0)),
            ["database.max_overflow", "0", "from 1"],
        ),
        (
            broken(|settings| settings.statement_timeout = Duration::ZERO),
            ["database.statement_timeout", "0", "from 0.001 to 86400 seconds"],
        ),
        (
            broken(|settings| settings.pool_timeout = Duration::ZERO),
            ["database.pool_timeout", "0", "from 0.05"],
        ),
        (
            broken(|settings| settings.application_name = "a/b".to_owned()),
            ["database.application_name", "a/b", "without `/`"],
        ),
        (
            broken(|settings| {
                settings.strategy = Strategy::Fresh;
                settings.pooler = Pooler::Transaction;
            }),
            ["database.strategy", "fresh", "transaction pooler"],
        ),
    ] {
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
        assert!(!error.contains("geheim"), "{error}");
    }
}

#[test]
fn outside_a_runtime_it_is_an_error_not_a_panic() {
    let settings = Settings::for_url("postgres://me@db.example/app").unwrap();
    assert!(
        Database::new(settings)
            .unwrap_err()
            .to_string()
            .contains("tokio runtime")
    );
}

#[test]
fn unknown_keys_and_wrong_types_are_refused() {
    for (json, words) in [
        (r#"{"pool_sice": 3}"#, "pool_sice"),
        (r#"{"pool_size": "many"}"#, "many"),
        (r#"{"pool_timeout": -1}"#, "seconds"),
        (r#"{"instances": "some"}"#, "auto"),
        (r#"{"url": "mysql://h/d"}"#, "postgres://"),
    ] {
        let error = serde_json::from_str::<Settings>(json).unwrap_err().to_string();
        assert!(error.contains(words), "{json}: {error}");
    }
    let read: Settings = serde_json::from_str(r#"{"instances": 4, "pool_timeout": 0.5}"#).unwrap();
    assert_eq!(read.pool_timeout, Duration::from_millis(500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_a_file_is_read_for_each_connection_attempt() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let fixture = test_pool_with(1, |settings| {
        let text = settings.url.expose().to_owned();
        let mut url = url::Url::parse(&text).unwrap();
        std::fs::write(file.path(), format!("{}\n", url.password().unwrap())).unwrap();
        url.set_password(None).unwrap();
        settings.url = url.as_str().parse().unwrap();
        settings.password_file = Some(file.path().to_owned());
    })
    .await;
    assert_eq!(number(&fixture.reader(), "SELECT 1").await.unwrap(), 1);
    let password = std::fs::read(file.path()).unwrap();

    std::fs::write(file.path(), "wrong").unwrap();
    fixture.server.terminate_all().await;
    let error = number(&fixture.reader(), "SELECT 1").await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("wrong"), "{error:?}");

    std::fs::write(file.path(), password).unwrap();
    // Attempts after a wrong password are spaced, so that a pooler does not block the client.
    let rotated = async {
        while number(&fixture.reader(), "SELECT 1").await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), rotated)
        .await
        .unwrap();
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_rotated_during_the_login_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = test_pool_with(1, |settings| {
        let text = settings.url.expose().to_owned();
        let password = url::Url::parse(&text).unwrap().password().unwrap().to_owned();
        // The first run prints the former password, later ones the new one.
        let seen = folder.path().join("seen").display().to_string();
        settings.password_command = Some(format!(
            "if [ -e {seen} ]; then echo '{password}'; else touch {seen}; echo former; fi"
        ));
    })
    .await;
    assert_eq!(number(&fixture.reader(), "SELECT 1").await.unwrap(), 1);
    let counters = fixture.database.status().counters;
    assert_eq!(counters.opened, 1, "{counters:?}");
}
