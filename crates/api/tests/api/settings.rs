//! What can be set, in which order places win, and what stops the start.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use api::settings::{Environment, Invalid, Loaded, Migrate, Sources};
use serde_json::Value;

#[test]
fn nothing_set_means_sqlite_in_development() {
    let settings = Sources::default().load().unwrap().settings;
    assert_eq!(settings.app.environment, Environment::Development);
    assert_eq!(settings.startup.migrate, Migrate::Apply);
    assert!(settings.database.url.to_string().starts_with("sqlite://"));
}

#[test]
fn later_places_win_and_each_value_tells_its_place() {
    let folder = folder_with(
        "development.toml",
        "[server]\nport = 1\nbody_limit = 2000\nworkers = 1\n",
    );
    let sources = Sources {
        folder: folder.0.clone(),
        dotenv: pairs(&[("SERVER_PORT", "2"), ("DB_LIMIT", "20"), ("LOG_LEVEL", "debug")]),
        environment: pairs(&[("APP__SERVER__PORT", "3"), ("DB_LIMIT", "30")]),
        arguments: pairs(&[("server.port", "4")]),
    };
    let shown = sources.load().unwrap().to_string();
    assert_line(&shown, "port = 4", "command line");
    assert_line(&shown, "limit = 30", "environment DB_LIMIT");
    assert_line(&shown, "level = \"debug\"", ".env LOG_LEVEL");
    assert_line(&shown, "body_limit = 2000", "development.toml");
    assert_line(&shown, "host = \"127.0.0.1\"", "built-in default.toml");
}

#[test]
fn every_short_name_sets_its_key() {
    let short = [
        ("APP_ENV", "test", "environment = \"test\""),
        (
            "DATABASE_URL",
            "postgres://u:pw@db.example.org:5432/b",
            "db.example.org",
        ),
        ("DB_POOL_SIZE", "4", "pool_size = 4"),
        ("DB_MAX_OVERFLOW", "1", "max_overflow = 1"),
        ("DB_POOL_TIMEOUT", "2.5", "pool_timeout = 2.5"),
        ("DB_POOL_RECYCLE", "600", "pool_recycle = 600"),
        ("DB_ECHO", "True", "echo = true"),
        ("DB_STRATEGY", "pooled", "strategy = \"pooled\""),
        ("DB_POOLER", "session", "pooler = \"session\""),
        ("DB_LIMIT", "16", "limit = 16"),
        ("DB_RESERVE", "3", "reserve = 3"),
        ("DB_INSTANCES", "2", "instances = 2"),
        ("SERVER_HOST", "0.0.0.0", "host = \"0.0.0.0\""),
        ("SERVER_PORT", "81", "port = 81"),
        ("LOG_LEVEL", "warn", "level = \"warn\""),
    ];
    let variables: Vec<(&str, &str)> = short.iter().map(|(name, value, _)| (*name, *value)).collect();
    let shown = with_environment(&variables).load().unwrap().to_string();
    for (name, _, line) in short {
        assert_line(&shown, line, &format!("environment {name}"));
    }
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let settings = with_environment(&[("DATABASE_URL", ""), ("SERVER_PORT", "")])
        .load()
        .unwrap()
        .settings;
    assert_eq!(settings.server.port, 8080);
}

#[test]
fn an_unknown_key_stops_the_start_wherever_it_stands() {
    let error = with_environment(&[("APP__SERVER__PROT", "1")])
        .load()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "server.prot: is no setting (from environment APP__SERVER__PROT); did you mean `server.port`?"
    );
    assert_eq!(
        with_argument("pool.size", "3").load().unwrap_err().key,
        "pool.size"
    );
    let folder = folder_with("development.toml", "[server]\nporrt = 1\n");
    let error = Sources {
        folder: folder.0.clone(),
        ..Sources::default()
    }
    .load()
    .unwrap_err();
    assert_eq!(error.key, "server.porrt");
}

#[test]
fn a_wrong_type_stops_the_start_with_key_value_and_rule() {
    assert_refused(
        "server.port",
        "http",
        "\"http\"",
        "a whole number from 0 to 65535",
    );
    assert_refused("server.port", "70000", "70000", "a whole number from 0 to 65535");
    assert_refused("database.echo", "maybe", "\"maybe\"", "true or false");
    assert_refused("database.limit", "-1", "-1", "whole number");
    assert_refused("server.host", "here", "\"here\"", "IP address");
    assert_refused("app.environment", "staging", "\"staging\"", "development");
    assert_refused("server.request_timeout", "-1", "-1", "not negative");
}

#[test]
fn a_value_out_of_its_range_stops_the_start() {
    assert_refused("server.body_limit", "1", "1", "1024");
    assert_refused("server.workers", "1000", "1000", "256");
    assert_refused("server.request_timeout", "0", "0", "from 0.1 to 3600");
    assert_refused("app.name", "", "\"\"", "1 to 40");
    assert_refused(
        "database.root_certificate",
        "/no/such.pem",
        "/no/such.pem",
        "can be read",
    );
    assert_refused("log.level", "info,=,", "\"info,=,\"", "must be off");
    assert_refused("responder.timeout", "1000", "1000", "from 0.1 to 600"); // sample
}

#[test]
fn contradictions_stop_the_start() {
    assert_refused("database.max_overflow", "50", "50", "limit");
    let error = with_environment(&[
        ("DB_POOLER", "transaction"),
        ("DB_STRATEGY", "fresh"),
        ("DB_INSTANCES", "1"),
    ])
    .load()
    .unwrap_err();
    assert_eq!(error.key, "database.strategy");
    assert!(error.rule.contains("transaction"), "{error}");
    let error = with_environment(&[("DB_LIMIT", "9"), ("APP__DATABASE__LIMIT", "8")])
        .load()
        .unwrap_err();
    assert!(error.rule.contains("set twice"), "{error}");
    // sample begins
    let slow = [
        ("APP__RESPONDER__URL", "https://r.example.org/v1"),
        ("APP__RESPONDER__TIMEOUT", "90"),
    ];
    assert_eq!(
        with_environment(&slow).load().unwrap_err().key,
        "responder.timeout"
    );
    // sample ends
}

#[test]
fn production_refuses_the_development_secret() {
    let error = with_environment(&[("APP_ENV", "production")]).load().unwrap_err();
    assert_eq!(error.key, "app.secret");
    assert!(error.rule.contains("openssl rand -hex 32"), "{error}");
    let secret = "0123456789abcdef0123456789abcdef";
    let started = with_environment(&[("APP_ENV", "production"), ("APP__APP__SECRET", secret)])
        .load()
        .unwrap();
    assert_eq!(started.settings.app.environment, Environment::Production);
}

#[test]
fn a_file_cannot_choose_which_file_is_read() {
    let folder = folder_with("development.toml", "[app]\nenvironment = \"production\"\n");
    let error = Sources {
        folder: folder.0.clone(),
        ..Sources::default()
    }
    .load()
    .unwrap_err();
    assert_eq!(error.key, "app.environment");
}

#[test]
fn secrets_are_shown_nowhere() {
    let secrets = [
        ("APP__APP__SECRET", "hush-hush-hush-hush-hush-hush-hush"),
        ("APP__RESPONDER__KEY", "hush-key"), // sample
        ("DATABASE_URL", "postgres://user:hush-password@localhost/db"),
    ];
    let loaded = with_environment(&secrets).load().unwrap();
    assert!(!loaded.to_string().contains("hush"), "{loaded}");
    assert!(!format!("{loaded:?}").contains("hush"), "{loaded:?}");
    let refused = [
        ("APP__APP__SECRET", "hush"),
        ("DATABASE_URL", "postgres://user:hush@[::1/db"),
    ];
    for (name, value) in refused {
        let error = with_environment(&[(name, value)]).load().unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }
}

#[test]
fn the_reference_documents_every_key_and_no_other() {
    let text = reference();
    let documented: BTreeSet<String> = documented(&text).into_keys().collect();
    let known: BTreeSet<String> = keys(&Sources::default().load().unwrap()).into_keys().collect();
    assert_eq!(documented, known);
}

#[test]
fn the_reference_explains_each_key() {
    for (key, explained) in documented(&reference()) {
        assert!(explained, "config/default.toml says nothing above `{key}`");
    }
}

#[test]
fn the_reference_has_the_database_crates_own_defaults() {
    let settings = Sources::default().load().unwrap().settings;
    let ours = serde_json::to_value(settings.database).unwrap();
    let theirs = serde_json::to_value(berth_database::Settings::default()).unwrap();
    assert_eq!(ours, theirs);
}

fn with_environment(variables: &[(&str, &str)]) -> Sources {
    Sources {
        environment: pairs(variables),
        ..Sources::default()
    }
}

fn with_argument(key: &str, value: &str) -> Sources {
    Sources {
        arguments: pairs(&[(key, value)]),
        ..Sources::default()
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[track_caller]
fn assert_refused(key: &str, value: &str, shown: &str, rule: &str) {
    let Invalid {
        key: named,
        value: told,
        origin,
        rule: given,
    } = with_argument(key, value).load().unwrap_err();
    assert_eq!(named, key);
    assert!(
        told.as_deref().unwrap_or_default().contains(shown),
        "{key}: {told:?}"
    );
    assert_eq!(origin.as_deref(), Some("command line"));
    assert!(given.contains(rule), "{key}: {given}");
}

#[track_caller]
fn assert_line(shown: &str, start: &str, place: &str) {
    let found = shown
        .lines()
        .any(|line| line.contains(start) && line.ends_with(place));
    assert!(found, "no line `{start}` from {place} in\n{shown}");
}

fn reference() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/default.toml")).unwrap()
}

/// The keys of the reference, those commented out included, and whether text stands above each.
fn documented(text: &str) -> std::collections::BTreeMap<String, bool> {
    let (mut section, mut words, mut found) = (String::new(), 0, std::collections::BTreeMap::new());
    for line in text.lines() {
        let setting = line.strip_prefix("# ").unwrap_or(line);
        let name = setting.split_once(" = ").map(|(name, _)| name);
        let name = name.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        if let Some(of) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = of.to_owned();
        } else if let Some(name) = name {
            found.insert(format!("{section}.{name}"), words >= 8);
            words = 0;
        } else if line.starts_with('#') {
            words += line.split_whitespace().count() - 1;
        } else {
            words = 0;
        }
    }
    found
}

fn keys(loaded: &Loaded) -> std::collections::BTreeMap<String, Value> {
    let tree = serde_json::to_value(&loaded.settings).unwrap();
    let sections = tree.as_object().unwrap().iter();
    let keys = sections.flat_map(|(section, values)| {
        let values = values.as_object().unwrap().iter();
        values.map(move |(key, value)| (format!("{section}.{key}"), value.clone()))
    });
    keys.collect()
}

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn folder_with(file: &str, text: &str) -> Folder {
    let folder = std::env::temp_dir().join(format!("berth-settings-{}", uuid::Uuid::now_v7()));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(file), text).unwrap();
    Folder(folder)
}
