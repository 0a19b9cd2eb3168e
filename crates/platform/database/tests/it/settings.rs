//! Nonsense stops the start, with key, value and rule.

use berth_database::{Database, Pooler, Settings, Strategy};

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
            ["database.limit", "0", "at least 1"],
        ),
        (
            broken(|settings| settings.reserve = 15),
            ["database.reserve", "15", "below the limit"],
        ),
        (
            broken(|settings| settings.max_overflow = 20),
            ["database.max_overflow", "20", "exceed the limit"],
        ),
        (
            broken(|settings| settings.pool_size = 0),
            ["database.pool_size", "0", "at least 1"],
        ),
        (
            broken(|settings| settings.pool_timeout = std::time::Duration::ZERO),
            ["database.pool_timeout", "0", "above"],
        ),
        (
            broken(|settings| settings.application_name = "a/b".to_owned()),
            ["database.application_name", "a/b", "no `/`"],
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
fn outside_a_runtime_it_is_an_error_and_no_panic() {
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
    assert_eq!(read.pool_timeout, std::time::Duration::from_millis(500));
}
