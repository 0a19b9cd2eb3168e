use super::*;

#[test]
fn hides_the_password_wherever_it_is_shown() {
    let url: DatabaseUrl = "postgres://me:geheim@db.example:5432/app?password=geheim"
        .parse()
        .unwrap();
    let shown = format!("{url} {url:?} {}", serde_json::to_string(&url).unwrap());
    assert!(!shown.contains("geheim"), "{shown}");
    assert!(shown.contains("db.example"), "{shown}");
}

#[test]
fn unusable_urls_are_refused_with_the_rule() {
    for (text, rule) in [
        ("mysql://h/d", "must begin with"),
        ("postgres://", "must name a host"),
        ("postgres://me:p@ss:w@rd@/d", "percent-encoded"),
        ("sqlite::memory:", "must name a file"),
        ("sqlite://x.db?mode=memory", "must name a file"),
        ("sqlite://x.db?cache=shared", "unknown parameter"),
    ] {
        let error = text.parse::<DatabaseUrl>().unwrap_err();
        assert!(error.contains(rule), "{text}: {error}");
    }
}

#[test]
fn refuses_a_split_password_without_showing_any_of_it() {
    for special in ["#", "/", "?", "@", "/a@", "?b=", "#c@", "@x?", "@y/"] {
        for text in [
            format!("postgres://app:12{special}34secret@db/x"),
            format!("postgres://app:secret{special}secret@db:5432/x?sslmode=require"),
            format!("postgres://se{special}cret:pw@db/x"),
            format!("postgres://app:{special}secret@db/x"),
            format!("postgres://app:secret{special}@db/x"),
        ] {
            let error = text.parse::<DatabaseUrl>().expect_err(&text);
            assert!(error.contains("percent-encoded"), "{text}: {error}");
            assert!(
                !error.contains("secret") && !error.contains("34"),
                "{text}: {error}"
            );
            let json = serde_json::to_string(&text).unwrap();
            let error = serde_json::from_str::<DatabaseUrl>(&json)
                .unwrap_err()
                .to_string();
            assert!(
                !error.contains("secret") && !error.contains("34"),
                "{text}: {error}"
            );
        }
    }
    let encoded = "postgres://app:12%2334%2F%3F%40@db/x"
        .parse::<DatabaseUrl>()
        .unwrap();
    let options = PgConnectOptions::from_str(encoded.expose()).unwrap();
    assert_eq!((options.get_host(), options.get_database()), ("db", Some("x")));
}

#[test]
fn refuses_unknown_parameters_and_ignores_those_of_other_tools() {
    for (query, rule) in [
        ("ssl_mode=require", "did you mean `ssl-mode`?"),
        ("sslmod=require", "unknown parameter `sslmod`"),
        ("sslaccept=strict", "unknown parameter `sslaccept`"),
        ("sslmode=require&sslrootcert=ca.pem", "use sslmode=verify-full"),
        ("sslmode=verify-full&sslrootcert=", "empty root certificate"),
        ("sslmode=verify-full&sslmode=disable", "`sslmode` more than once"),
        (
            "sslmode=verify-full&ssl-mode=disable",
            "`ssl-mode` more than once",
        ),
        ("application_name=a&application_name=b", "more than once"),
    ] {
        let error = format!("postgres://u@db.example/x?{query}")
            .parse::<DatabaseUrl>()
            .unwrap_err();
        assert!(error.contains(rule), "{query}: {error}");
    }
    let url: DatabaseUrl =
        "postgres://u:p@db.example/x?pgbouncer=true&sslmode=require&connection_limit=1&schema=s"
            .parse()
            .unwrap();
    assert_eq!(
        url.ignored_parameters(),
        ["pgbouncer", "connection_limit", "schema"]
    );
    assert_eq!(url.expose(), "postgres://u:p@db.example/x?sslmode=require");
}

#[test]
fn requires_tls_except_to_this_machine_or_when_the_url_decides() {
    let mode = |text: &str| text.parse::<DatabaseUrl>().unwrap().ssl_mode_in(|_| false);
    assert!(matches!(
        mode("postgres://u@db.example/x"),
        Some(PgSslMode::Require)
    ));
    assert!(matches!(
        mode("postgres://u@127.0.0.1/x"),
        Some(PgSslMode::Disable)
    ));
    assert!(matches!(mode("postgres://u@[::1]/x"), Some(PgSslMode::Disable)));
    assert!(mode("postgres://u@db.example/x?sslmode=disable").is_none());
    for elsewhere in ["host=db.example", "hostaddr=192.0.2.1"] {
        let text = format!("postgres://u@localhost/x?{elsewhere}");
        assert!(matches!(mode(&text), Some(PgSslMode::Require)), "{text}");
    }
    for here in [
        "postgres://u@%2fvar%2frun/x",
        "postgres://u@db.example/x?host=/var/run",
    ] {
        assert!(matches!(mode(here), Some(PgSslMode::Disable)), "{here}");
    }
}

#[test]
fn a_root_certificate_of_the_environment_needs_a_mode_that_verifies() {
    let checked = |query: &str, set: &[(&str, &str)]| {
        let url = Url::parse(&format!("postgres://u@db.example/x?{query}")).unwrap();
        let value = |variable: &str| set.iter().find(|(name, _)| *name == variable);
        check_tls(&url, |variable| {
            value(variable).map(|(_, value)| (*value).to_owned())
        })
    };
    let certificate = ("PGSSLROOTCERT", "ca.pem");
    for mode in ["disable", "allow", "prefer", "require"] {
        let named = ("PGSSLMODE", mode);
        for refused in [
            checked("", &[named, certificate]),
            checked(&format!("sslmode={mode}"), &[certificate]),
            checked("sslrootcert=ca.pem", &[named]),
            checked(
                &format!("sslmode={mode}"),
                &[("PGSSLMODE", "verify-full"), certificate],
            ),
        ] {
            assert!(refused.unwrap_err().contains("use sslmode=verify-full"), "{mode}");
        }
        assert_eq!(checked("", &[named]), Ok(()));
        assert_eq!(checked("sslmode=verify-ca", &[named, certificate]), Ok(()));
    }
    assert_eq!(checked("", &[certificate]), Ok(()));
    let empty = checked("", &[("PGSSLROOTCERT", "")]);
    assert!(empty.unwrap_err().contains("empty root certificate"));
}

#[test]
fn a_mode_or_a_root_certificate_that_is_named_applies() {
    let mode = |text: &str, set: &str| {
        let url = text.parse::<DatabaseUrl>().unwrap();
        url.ssl_mode_in(|variable| variable == set)
    };
    for host in ["db.example", "localhost"] {
        let plain = format!("postgres://u@{host}/x");
        assert!(mode(&plain, "PGSSLMODE").is_none(), "sqlx reads it");
        let trusting = format!("{plain}?sslrootcert=ca.pem");
        let other_name = format!("{plain}?ssl-ca=ca.pem");
        for named in [
            mode(&plain, "PGSSLROOTCERT"),
            mode(&trusting, ""),
            mode(&other_name, ""),
        ] {
            assert!(matches!(named, Some(PgSslMode::VerifyFull)), "{host}");
        }
    }
}
