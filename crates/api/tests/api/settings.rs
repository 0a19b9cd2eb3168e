//! Settings of the service: precedence, refused values, and the reference compared with the code.

use std::collections::BTreeSet;
use std::fs;

use api::settings::{Environment, Migrate, Settings, sources};
use berth_settings::{ConfigError, Entry, Loaded, Reference, Sources};
use tempfile::TempDir;

#[test]
fn nothing_set_means_sqlite_in_development() {
    let settings = read(&sources()).unwrap();
    assert_eq!(settings.app.environment, Environment::Development);
    assert_eq!(settings.startup.migrate, Migrate::Apply);
    assert!(settings.database.url.to_string().starts_with("sqlite://"));
}

#[test]
fn later_places_win_and_each_value_reports_its_place() {
    let folder = folder_with(
        "development.toml",
        "[server]\nport = 1\nbody_limit = 2000\nworkers = 1\n",
    );
    let sources = Sources {
        folder: folder.path().to_owned(),
        dotenv: pairs(&[("SERVER_PORT", "2"), ("DB_LIMIT", "20"), ("LOG_LEVEL", "debug")]),
        environment: pairs(&[("APP__SERVER__PORT", "3"), ("DB_LIMIT", "30")]),
        arguments: pairs(&[("server.port", "4")]),
        ..sources()
    };
    let shown = loaded(&sources).unwrap().to_string();
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
        ("AUTH_MODE", "local", "mode = \"local\""),
    ];
    let variables: Vec<(&str, &str)> = short.iter().map(|(name, value, _)| (*name, *value)).collect();
    let shown = loaded(&with_environment(&variables)).unwrap().to_string();
    for (name, _, line) in short {
        assert_line(&shown, line, &format!("environment {name}"));
    }
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let settings = read(&with_environment(&[("DATABASE_URL", ""), ("SERVER_PORT", "")])).unwrap();
    assert_eq!(settings.server.port, 8080);
}

#[test]
fn an_unknown_key_stops_the_start_wherever_it_stands() {
    let error = with_environment(&[("APP__SERVER__PROT", "1")])
        .load()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "server.prot: is not a setting (from environment APP__SERVER__PROT); did you mean `server.port`?"
    );
    assert_eq!(
        with_argument("pool.size", "3").load().unwrap_err().key,
        "pool.size"
    );
    let folder = folder_with("development.toml", "[server]\nporrt = 1\n");
    let error = Sources {
        folder: folder.path().to_owned(),
        ..sources()
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
    assert_refused("server.request_timeout", "-1", "-1", "from 0.1 to 3600");
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
    .and_then(|mut loaded| Settings::read(&mut loaded))
    .unwrap_err();
    assert_eq!(error.key, "database.strategy");
    assert!(error.rule.contains("transaction"), "{error}");
    let error = with_environment(&[("DB_LIMIT", "9"), ("APP__DATABASE__LIMIT", "8")])
        .load()
        .unwrap_err();
    assert!(error.rule.contains("set twice"), "{error}");
}

#[test]
fn production_refuses_the_development_secret() {
    let error = read(&with_environment(&[("APP_ENV", "production")])).unwrap_err();
    assert_eq!(error.key, "app.secret");
    assert!(error.rule.contains("openssl rand -hex 32"), "{error}");
    let secret = "0123456789abcdef0123456789abcdef";
    let url = "postgres://user:password@localhost/db";
    let production = [
        ("APP_ENV", "production"),
        ("APP__APP__SECRET", secret),
        ("AUTH_MODE", "local"),
        ("DATABASE_URL", url),
    ];
    let settings = read(&with_environment(&production)).unwrap();
    assert_eq!(settings.app.environment, Environment::Production);
}

#[test]
fn production_does_not_fall_back_to_sqlite() {
    let secret = "0123456789abcdef0123456789abcdef";
    let production = [
        ("APP_ENV", "production"),
        ("APP__APP__SECRET", secret),
        ("AUTH_MODE", "local"),
    ];
    let error = read(&with_environment(&production)).unwrap_err();
    assert_eq!(error.key, "database.url");
    assert!(error.rule.contains("APP__DATABASE__URL"), "{error}");
    let chosen = [("DATABASE_URL", "sqlite://data/berth.sqlite?mode=rwc")];
    assert!(read(&with_environment(&[&production[..], &chosen].concat())).is_ok());
}

#[test]
fn production_says_who_issues_tokens() {
    let production = [
        ("APP_ENV", "production"),
        ("APP__APP__SECRET", "0123456789abcdef0123456789abcdef"),
        ("DATABASE_URL", "postgres://user:password@localhost/db"),
    ];
    let error = read(&with_environment(&production)).unwrap_err();
    assert_eq!(error.key, "auth.mode");
    assert!(error.rule.contains("AUTH__MODE"), "{error}");
}

#[test]
fn issuers_are_named_with_their_audience_and_reached_over_tls() {
    let jwks = |more: &[(&str, &str)]| read(&with_environment(&[&[("AUTH_MODE", "jwks")], more].concat()));
    assert_eq!(jwks(&[]).unwrap_err().key, "auth.issuers");
    let issuers = (
        "APP__AUTH__ISSUERS",
        "https://one.example.com/auth, http://127.0.0.1:9999",
    );
    assert_eq!(jwks(&[issuers]).unwrap_err().key, "auth.audience");
    let audience = ("APP__AUTH__AUDIENCE", "authenticated");
    let settings = jwks(&[issuers, audience]).unwrap();
    let named: Vec<&str> = settings.auth.issuers().collect();
    assert_eq!(named, ["https://one.example.com/auth", "http://127.0.0.1:9999"]);
    for plain in [
        "http://example.com",
        "one.example.com",
        "https://one.example.com,",
        "file:///keys",
    ] {
        let error = jwks(&[("APP__AUTH__ISSUERS", plain), audience]).unwrap_err();
        assert_eq!(error.key, "auth.issuers", "{plain}");
    }
}

#[test]
fn row_level_security_needs_postgres() {
    assert_refused("auth.row_level_security", "true", "true", "needs PostgreSQL");
    let url = ("DATABASE_URL", "postgres://user:password@localhost/db");
    let secured = [url, ("APP__AUTH__ROW_LEVEL_SECURITY", "true")];
    assert!(read(&with_environment(&secured)).unwrap().auth.row_level_security);
}

#[test]
fn the_defaults_of_the_identity_are_those_of_the_reference() {
    let settings = read(&sources()).unwrap();
    let written = serde_json::to_value(&settings.auth).unwrap();
    assert_eq!(
        written,
        serde_json::to_value(berth_auth::Settings::default()).unwrap()
    );
}

#[test]
fn a_misspelled_variable_is_refused_rather_than_ignored() {
    for (name, meant) in [
        ("DATABSE_URL", "DATABASE_URL"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("database_url", "DATABASE_URL"),
        ("DB_POOLSIZE", "DB_POOL_SIZE"),
        ("APP_DATABASE__URL", "APP__DATABASE__URL"),
    ] {
        let url = "postgres://user:hush@localhost/db";
        let error = with_environment(&[(name, url)]).load().unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(meant), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
    let others = [
        ("DB_HOST", "x"),
        ("DB_PORT", "tcp://10.0.0.1:5432"),
        ("TEST_DATABASE_URL", "x"),
        ("PATH", "x"),
    ];
    assert!(with_environment(&others).load().is_ok());
}

#[test]
fn the_port_that_a_platform_sets_is_used() {
    assert_eq!(
        read(&with_environment(&[("PORT", "5000")])).unwrap().server.port,
        5000
    );
    let error = with_environment(&[("PORT", "5000"), ("SERVER_PORT", "6000")])
        .load()
        .unwrap_err();
    assert!(error.rule.contains("set twice"), "{error}");
}

#[test]
fn a_former_name_works_with_a_warning() {
    for former in [
        "monitor.high_use_for",
        "monitor.long_lease",
        "database.check_after",
    ] {
        let loaded = loaded(&with_argument(former, "7")).unwrap();
        assert!(loaded.warnings()[0].contains(former), "{:?}", loaded.warnings());
    }
}

/// Runs the binary: what is set wrong must end it with exit code 2, and no part of a secret may be printed.
#[test]
fn the_binary_refuses_a_url_that_it_cannot_use_and_prints_no_part_of_it() {
    use std::os::unix::ffi::OsStrExt;
    let urls: [&[u8]; 6] = [
        b"postgres://app:12#34secret@db/x",
        b"postgres://app:12/34secret@db/x",
        b"postgres://app:12?34secret@db/x",
        b"postgres://app:12@34secret@db/x",
        b"postgres://app:secret/secret@db/x",
        b"postgres://app:secret\xff@db/x",
    ];
    for url in urls {
        let folder = TempDir::new().unwrap();
        for command in ["config", "serve"] {
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_api"))
                .arg(command)
                .env("DATABASE_URL", std::ffi::OsStr::from_bytes(url))
                .env("LOG_LEVEL", "trace")
                .current_dir(folder.path())
                .output()
                .unwrap();
            let printed = [output.stdout, output.stderr].concat();
            let printed = String::from_utf8_lossy(&printed);
            assert_eq!(output.status.code(), Some(2), "{printed}");
            assert!(
                !printed.contains("34") && !printed.contains("secret"),
                "{printed}"
            );
            let explained = printed.contains("percent-encoded") || printed.contains("UTF-8");
            assert!(explained, "{printed}");
        }
    }
}

/// Runs the binary with a `.env` file and variables, and returns its exit code and what it printed.
fn printed_config(dotenv: &[u8], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join(".env"), dotenv).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_api"))
        .arg("config")
        .env_remove("DATABASE_URL")
        .envs(variables.iter().copied())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&printed).into_owned(),
    )
}

#[test]
fn the_binary_refuses_a_dotenv_value_that_would_be_changed() {
    let values: [&[u8]; 6] = [b"$hush", b"${USER", b"'hush", b"#hush", b"hush hush", b"hush\xff"];
    for value in values {
        let dotenv = [b"APP__APP__SECRET=", value, b"\n"].concat();
        let value = String::from_utf8_lossy(value);
        let (code, printed) = printed_config(&dotenv, &[]);
        assert_eq!(code, Some(2), "{value}: {printed}");
        assert!(!printed.contains("hush"), "{value}: {printed}");
        let explained = printed.contains("APP__APP__SECRET") && printed.contains("single quotes");
        assert!(explained || printed.contains("UTF-8"), "{value}: {printed}");
    }
    let (code, printed) = printed_config(b"LOG_LEVEL='debug' # '$HOME'\nAPP__APP__NAME='a$HOME'\n", &[]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("a$HOME"), "{printed}");
}

#[test]
fn the_binary_refuses_a_root_certificate_that_is_not_verified() {
    let url = ("DATABASE_URL", "postgres://u@db.example/x");
    let (mode, certificate) = (("PGSSLMODE", "require"), ("PGSSLROOTCERT", "ca.pem"));
    let (code, printed) = printed_config(b"", &[url, mode, certificate]);
    assert_eq!(code, Some(2), "{printed}");
    assert!(printed.contains("use sslmode=verify-full"), "{printed}");
    let (code, printed) = printed_config(b"", &[url, certificate]);
    assert_eq!(code, Some(0), "{printed}");
}

#[test]
fn a_file_cannot_choose_which_file_is_read() {
    let folder = folder_with("development.toml", "[app]\nenvironment = \"production\"\n");
    let error = Sources {
        folder: folder.path().to_owned(),
        ..sources()
    }
    .load()
    .unwrap_err();
    assert_eq!(error.key, "app.environment");
}

#[test]
fn secrets_are_shown_nowhere() {
    let secrets = [
        ("APP__APP__SECRET", "hush-hush-hush-hush-hush-hush-hush"),
        ("DATABASE_URL", "postgres://user:hush-password@localhost/db"),
    ];
    let loaded = loaded(&with_environment(&secrets)).unwrap();
    assert!(!loaded.to_string().contains("hush"), "{loaded}");
    assert!(!format!("{loaded:?}").contains("hush"), "{loaded:?}");
    let refused = [
        ("APP__APP__SECRET", "hush"),
        ("DATABASE_URL", "postgres://user:hush@[::1/db"),
    ];
    for (name, value) in refused {
        let error = read(&with_environment(&[(name, value)])).unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }
}

#[test]
fn the_reference_documents_every_key_and_no_other() {
    let documented: BTreeSet<String> = reference().entries().map(|(key, _)| key.to_owned()).collect();
    let shown = loaded(&sources()).unwrap().to_string();
    let mut section = "";
    let mut known = BTreeSet::new();
    for line in shown.lines() {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => section = name,
            None => known.extend(line.split_once(" =").map(|(name, _)| {
                let name = name.trim_start_matches("# ");
                format!("{section}.{name}")
            })),
        }
    }
    assert_eq!(documented, known);
}

#[test]
fn the_reference_explains_each_key() {
    for (key, entry) in reference().entries() {
        let words = entry.text.split_whitespace().count();
        assert!(words >= 8, "config/default.toml says too little about `{key}`");
    }
}

#[test]
fn the_reference_has_the_database_crates_own_defaults() {
    let settings = read(&sources()).unwrap();
    let ours = serde_json::to_value(&settings.database).unwrap();
    // Named after the service.
    let theirs = berth_database::Settings {
        url: settings.database.url.clone(),
        application_name: settings.app.name.clone(),
        ..berth_database::Settings::default()
    };
    assert_eq!(ours, serde_json::to_value(theirs).unwrap());
}

/// The values around each range of the reference: inside it is accepted, outside refused with key, value and rule.
#[test]
fn each_range_of_the_reference_is_the_one_of_the_code() {
    let reference = reference();
    let ranges = reference
        .entries()
        .filter_map(|(key, entry)| Some((key, entry, Range::of(entry)?)));
    let mut compared = 0;
    for (key, entry, range) in ranges {
        for inside in range.ends() {
            // At its ends a value may contradict the defaults of other keys, but not its own range.
            if let Err(error) = read(&with_argument(key, &inside)) {
                assert!(!error.rule.contains(&range.rule), "{key} = {inside}: {error}");
            }
        }
        for outside in range.neighbors(entry) {
            let error = read(&with_argument(key, &outside)).expect_err(key);
            assert_eq!(error.key, key, "{error}");
            let shown = error.value.as_deref().unwrap_or_default();
            assert_eq!(shown.trim_matches('"'), outside, "{key}: {error}");
            assert!(
                error.rule.contains(&range.rule),
                "{key}: {error} does not say {}",
                range.rule
            );
        }
        compared += 1;
    }
    assert!(compared >= 30, "{compared} ranges");
}

#[test]
fn each_number_has_a_range() {
    for (key, entry) in reference().entries() {
        let is_number = entry.example().parse::<f64>().is_ok();
        assert_eq!(
            is_number,
            Range::of(entry).is_some_and(|range| !range.is_length),
            "{key}"
        );
    }
}

/// The range that a paragraph of the reference states.
struct Range {
    min: f64,
    max: f64,
    /// The range is the number of characters of a text.
    is_length: bool,
    rule: String,
}

impl Range {
    fn of(entry: &Entry) -> Option<Self> {
        let stated = entry.fact("Range")?;
        let (min, rest) = stated.split_once(" to ").expect("a range from a to b");
        let (max, unit) = rest.split_once(' ').unwrap_or((rest, ""));
        let is_length = unit == "characters";
        Some(Self {
            min: min.parse().expect("a number"),
            max: max
                .split(';')
                .next()
                .and_then(|max| max.parse().ok())
                .expect("a number"),
            is_length,
            rule: match (is_length, unit) {
                (true, _) => format!("{min} to {max} characters"),
                (false, "seconds") => format!("from {min} to {max} seconds"),
                (false, _) => format!("from {min} to {max}"),
            },
        })
    }

    fn ends(&self) -> [String; 2] {
        [self.written(self.min), self.written(self.max)]
    }

    /// The nearest values below and above; fractions where the code takes them.
    fn neighbors(&self, entry: &Entry) -> [String; 2] {
        let is_whole =
            !matches!(entry.fact("Range"), Some(range) if range.ends_with(" seconds") || range.contains('.'));
        let step = if is_whole { 1.0 } else { 0.0005 };
        [self.written(self.min - step), self.written(self.max + step)]
    }

    fn written(&self, value: f64) -> String {
        match self.is_length {
            true => "x".repeat(value as usize),
            false => value.to_string(),
        }
    }
}

pub(crate) fn with_environment(variables: &[(&str, &str)]) -> Sources {
    Sources {
        environment: pairs(variables),
        ..sources()
    }
}

fn with_argument(key: &str, value: &str) -> Sources {
    Sources {
        arguments: pairs(&[(key, value)]),
        ..sources()
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[track_caller]
pub(crate) fn assert_refused(key: &str, value: &str, shown: &str, rule: &str) {
    let error = read(&with_argument(key, value)).unwrap_err();
    assert_eq!(error.key, key);
    assert!(
        error.value.as_deref().unwrap_or_default().contains(shown),
        "{error}"
    );
    assert_eq!(error.origin.as_deref(), Some("command line"));
    assert!(error.rule.contains(rule), "{error}");
}

#[track_caller]
fn assert_line(shown: &str, start: &str, place: &str) {
    let found = shown
        .lines()
        .any(|line| line.contains(start) && line.ends_with(place));
    assert!(found, "no line `{start}` from {place} in\n{shown}");
}

fn reference() -> Reference {
    Reference::parse(sources().built_in.default).unwrap()
}

pub(crate) fn loaded(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut loaded = sources.load()?;
    Settings::read(&mut loaded)?;
    Ok(loaded)
}

pub(crate) fn read(sources: &Sources) -> Result<Settings, ConfigError> {
    Settings::read(&mut sources.load()?)
}

fn folder_with(file: &str, text: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(file), text).unwrap();
    folder
}
