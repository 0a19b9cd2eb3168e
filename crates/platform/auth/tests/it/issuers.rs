//! Tokens of issuers: which are accepted, which are refused, and what that costs the issuer.

use std::time::Duration;

use berth_auth::{Application, Auth, Mode, Settings, TokenError};
use berth_settings::Secret;
use berth_testkit::eventually;
use serde_json::{Value, json};

use crate::issuer::Issuer;
use crate::keys::{Key, from_now, unsigned};

const SECRET: &str = "a-legacy-secret-of-thirty-two-characters";

fn settings(issuers: &[&Issuer]) -> Settings {
    let urls: Vec<&str> = issuers.iter().map(|issuer| &*issuer.url).collect();
    Settings {
        mode: Mode::Jwks,
        issuers: Some(urls.join(", ")),
        audience: Some("authenticated".to_owned()),
        leeway: Duration::from_secs(5),
        ..Settings::default()
    }
}

fn auth(settings: &Settings) -> Auth {
    let application = Application {
        name: "test".to_owned(),
        secret: Secret::from("x".repeat(32)),
        previous_secret: None,
    };
    Auth::new(settings, &application).unwrap()
}

fn claims(issuer: &Issuer) -> Value {
    json!({ "iss": issuer.url, "aud": "authenticated", "sub": "somebody", "role": "authenticated",
        "exp": from_now(60), "iat": from_now(0) })
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_each_kind_are_found_with_and_without_discovery() {
    let keys = [Key::es256("ec"), Key::rs256("rsa"), Key::eddsa("ed")];
    let all: Vec<&Key> = keys.iter().collect();
    let issuers = [Issuer::start(&all), Issuer::without_discovery(&all)];
    let auth = auth(&settings(&[&issuers[0], &issuers[1]]));
    for issuer in &issuers {
        for key in &keys {
            let identity = auth.verify(&key.sign(&claims(issuer))).await.expect(key.id);
            assert_eq!(
                (identity.subject(), identity.issuer()),
                ("somebody", &*issuer.url)
            );
            assert_eq!(identity.role(), Some("authenticated"));
        }
        assert_eq!(issuer.looks(), 1, "all keys are read at once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_another_issuer_or_audience_are_refused() {
    let (key, stranger) = (Key::es256("known"), Key::es256("known"));
    let issuer = Issuer::start(&[&key]);
    let auth = auth(&settings(&[&issuer]));
    let good = claims(&issuer);
    let token = key.sign(&good);
    auth.verify(&token)
        .await
        .expect("the token that the others are made from is good");
    let (head, rest) = token.split_once('.').unwrap();
    let other = with(&good, "sub", json!("another"));
    let forged = format!("{head}.{}", key.sign(&other).split_once('.').unwrap().1);
    let mixed = format!(
        "{}.{}",
        forged.rsplit_once('.').unwrap().0,
        rest.rsplit_once('.').unwrap().1
    );
    let public = Key::secret("known", &key.public_bytes());
    let refused = [
        ("none", unsigned(&good), TokenError::Malformed),
        (
            "HS256 with the public key",
            public.sign(&good),
            TokenError::Signature,
        ),
        (
            "the public key as another algorithm's",
            public.sign_as("ES256", &good),
            TokenError::Signature,
        ),
        (
            "another algorithm of the key",
            key.sign_as("ES384", &good),
            TokenError::UnknownKey,
        ),
        (
            "an extension that must be understood",
            key.sign_with(
                &json!({ "alg": "ES256", "kid": "known", "crit": ["b64"], "b64": false }),
                &good,
            ),
            TokenError::Malformed,
        ),
        (
            "a stranger's key of the same id",
            stranger.sign(&good),
            TokenError::Signature,
        ),
        (
            "an unknown key",
            Key::es256("unknown").sign(&good),
            TokenError::UnknownKey,
        ),
        ("changed claims", mixed, TokenError::Signature),
        (
            "expired",
            key.sign(&with(&good, "exp", json!(from_now(-10)))),
            TokenError::Expired,
        ),
        (
            "not yet valid",
            key.sign(&with(&good, "nbf", json!(from_now(60)))),
            TokenError::NotYetValid,
        ),
        (
            "no expiry",
            key.sign(&with(&good, "exp", Value::Null)),
            TokenError::Malformed,
        ),
        (
            "another audience",
            key.sign(&with(&good, "aud", json!("another"))),
            TokenError::Audience,
        ),
        (
            "no audience",
            key.sign(&with(&good, "aud", Value::Null)),
            TokenError::Malformed,
        ),
        (
            "another issuer",
            key.sign(&with(&good, "iss", json!("https://example.com"))),
            TokenError::Issuer,
        ),
        (
            "no issuer",
            key.sign(&with(&good, "iss", Value::Null)),
            TokenError::Malformed,
        ),
        (
            "no subject",
            key.sign(&with(&good, "sub", Value::Null)),
            TokenError::Malformed,
        ),
        (
            "an empty subject",
            key.sign(&with(&good, "sub", json!(""))),
            TokenError::Malformed,
        ),
        (
            "truncated",
            token[..token.len() - 10].to_owned(),
            TokenError::Signature,
        ),
        (
            "cut in half",
            token[..token.len() / 2].to_owned(),
            TokenError::Malformed,
        ),
        (
            "oversized",
            key.sign(&with(&good, "x", json!("x".repeat(9000)))),
            TokenError::Malformed,
        ),
        ("empty", String::new(), TokenError::Malformed),
        ("not a token", "a.b.c".to_owned(), TokenError::Malformed),
    ];
    for (what, token, expected) in refused {
        assert_eq!(auth.verify(&token).await.err(), Some(expected), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leeway_is_for_the_difference_of_clocks() {
    let key = Key::es256("one");
    let issuer = Issuer::start(&[&key]);
    let auth = auth(&settings(&[&issuer]));
    let good = claims(&issuer);
    for (name, seconds) in [("exp", -3), ("nbf", 3)] {
        let token = key.sign(&with(&good, name, json!(from_now(seconds))));
        auth.verify(&token).await.expect(name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hs256_needs_the_secret_of_the_settings() {
    let key = Key::es256("one");
    let issuer = Issuer::start(&[&key]);
    let legacy = Key::secret("legacy", SECRET.as_bytes()).sign(&claims(&issuer));
    let without = auth(&settings(&[&issuer]));
    assert_eq!(without.verify(&legacy).await.err(), Some(TokenError::Signature));
    let with_secret = auth(&Settings {
        secret: Some(Secret::from(SECRET.to_owned())),
        ..settings(&[&issuer])
    });
    with_secret.verify(&legacy).await.expect("signed with the secret");
    let public = Key::secret("one", &key.public_bytes()).sign(&claims(&issuer));
    assert_eq!(
        with_secret.verify(&public).await.err(),
        Some(TokenError::Signature)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_issuer_with_the_name_of_another_is_refused() {
    let (first, second) = (Key::es256("first"), Key::es256("second"));
    let (one, two) = (Issuer::start(&[&first]), Issuer::start(&[&second]));
    let auth = auth(&settings(&[&one, &two]));
    auth.verify(&first.sign(&claims(&one))).await.unwrap();
    auth.verify(&second.sign(&claims(&two))).await.unwrap();
    assert_eq!(
        auth.verify(&first.sign(&claims(&two))).await.err(),
        Some(TokenError::UnknownKey)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn invented_keys_cause_no_traffic_and_do_not_empty_the_known_ones() {
    let key = Key::es256("known");
    let issuer = Issuer::start(&[&key]);
    let auth = auth(&settings(&[&issuer]));
    let good = key.sign(&claims(&issuer));
    auth.verify(&good).await.unwrap();
    for _ in 0..50 {
        let token = Key::es256("invented").sign(&claims(&issuer));
        assert_eq!(auth.verify(&token).await.err(), Some(TokenError::UnknownKey));
    }
    auth.verify(&good).await.unwrap();
    assert_eq!(issuer.looks(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_found_by_the_first_token_that_names_it_after_a_pause() {
    let (old, new) = (Key::es256("old"), Key::es256("new"));
    let issuer = Issuer::start(&[&old]);
    let auth = auth(&Settings {
        keys_refresh: Duration::from_secs(1),
        ..settings(&[&issuer])
    });
    auth.verify(&old.sign(&claims(&issuer))).await.unwrap();
    issuer.publish(&[&new]);
    eventually(async || auth.verify(&new.sign(&claims(&issuer))).await.is_ok()).await;
    assert_eq!(issuer.looks(), 2);
    let withdrawn = auth.verify(&old.sign(&claims(&issuer))).await;
    assert_eq!(withdrawn.err(), Some(TokenError::UnknownKey));
}

#[tokio::test(flavor = "multi_thread")]
async fn known_keys_serve_while_the_issuer_is_away() {
    let key = Key::es256("one");
    let issuer = Issuer::start(&[&key]);
    let auth = auth(&Settings {
        keys_refresh: Duration::from_secs(1),
        ..settings(&[&issuer])
    });
    let refreshing = auth.clone();
    tokio::spawn(async move { refreshing.issuers().unwrap().keep_fresh().await });
    eventually(async || issuer.looks() >= 2).await;
    issuer.go_away().await;
    // It is asked in vain at least once.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    auth.verify(&key.sign(&claims(&issuer))).await.unwrap();
    let unknown = Key::es256("new").sign(&claims(&issuer));
    assert_eq!(auth.verify(&unknown).await.err(), Some(TokenError::UnknownKey));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_never_answered_is_not_the_tokens_fault() {
    let key = Key::es256("one");
    let issuer = Issuer::start(&[&key]);
    issuer.go_away().await;
    let auth = auth(&settings(&[&issuer]));
    let outcome = auth.verify(&key.sign(&claims(&issuer))).await;
    assert_eq!(outcome.err(), Some(TokenError::KeysUnavailable));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_usable_keys_replaces_nothing() {
    let key = Key::es256("one");
    let issuer = Issuer::start(&[&key]);
    let auth = auth(&Settings {
        keys_refresh: Duration::from_secs(1),
        ..settings(&[&issuer])
    });
    let good = key.sign(&claims(&issuer));
    auth.verify(&good).await.unwrap();
    issuer.publish(&[]);
    eventually(async || {
        let token = Key::es256("unknown").sign(&claims(&issuer));
        auth.verify(&token).await.unwrap_err();
        issuer.looks() >= 2
    })
    .await;
    auth.verify(&good).await.unwrap();
}
