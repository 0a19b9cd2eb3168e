//! Access tokens of the service itself.

use std::time::Duration;

use berth_auth::{Application, Auth, Settings, TokenError};
use berth_settings::Secret;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::keys::{Key, from_now, unsigned};

const SECRET: &str = "the-present-secret-of-thirty-two-chars";
const EARLIER: &str = "the-earlier-secret-of-thirty-two-chars";

fn auth(name: &str, secret: &str, previous: Option<&str>) -> Auth {
    let application = Application {
        name: name.to_owned(),
        secret: Secret::from(secret.to_owned()),
        previous_secret: previous.map(|secret| Secret::from(secret.to_owned())),
    };
    Auth::new(&Settings::default(), &application).unwrap()
}

fn issue(auth: &Auth) -> String {
    auth.local()
        .unwrap()
        .access_tokens()
        .issue(Uuid::nil(), "admin")
        .unwrap()
}

#[tokio::test]
async fn a_token_says_who_the_user_is_and_which_role_it_has() {
    let auth = auth("shop", SECRET, None);
    let identity = auth.verify(&issue(&auth)).await.unwrap();
    assert_eq!(identity.subject(), Uuid::nil().to_string());
    assert_eq!((identity.issuer(), identity.role()), ("shop", Some("admin")));
    assert!(identity.scopes().is_empty());
    let shown = format!("{identity:?}");
    assert!(shown.contains("exp") && !shown.contains("admin"), "{shown}");
}

#[tokio::test]
async fn a_changed_secret_keeps_tokens_valid_as_the_previous_one() {
    let old = issue(&auth("shop", EARLIER, None));
    let rotated = auth("shop", SECRET, Some(EARLIER));
    rotated.verify(&old).await.unwrap();
    rotated.verify(&issue(&rotated)).await.unwrap();
    // New tokens are signed with the present secret.
    let later = auth("shop", SECRET, None);
    later.verify(&issue(&rotated)).await.unwrap();
    assert_eq!(later.verify(&old).await.err(), Some(TokenError::Signature));
}

#[tokio::test]
async fn a_token_of_another_service_with_the_same_secret_is_refused() {
    let token = issue(&auth("shop", SECRET, None));
    let refused = auth("forum", SECRET, None).verify(&token).await.err();
    assert_eq!(refused, Some(TokenError::Issuer));
}

#[tokio::test]
async fn a_token_with_another_signature_is_refused() {
    let auth = auth("shop", SECRET, None);
    let key = Key::secret("any", SECRET.as_bytes());
    let good =
        json!({ "iss": "shop", "aud": "shop", "sub": Uuid::nil(), "role": "admin", "exp": from_now(60) });
    auth.verify(&key.sign(&good))
        .await
        .expect("the claims that the others are made from are good");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let token = key.sign(&good);
    let refused = [
        ("none", unsigned(&good), TokenError::Malformed),
        (
            "another secret",
            Key::secret("any", &[7; 32]).sign(&good),
            TokenError::Signature,
        ),
        (
            "another algorithm",
            Key::es256("any").sign(&good),
            TokenError::Signature,
        ),
        (
            "expired a second ago",
            key.sign(&with("exp", json!(from_now(-2)))),
            TokenError::Expired,
        ),
        (
            "not yet valid",
            key.sign(&with("nbf", json!(from_now(60)))),
            TokenError::NotYetValid,
        ),
        (
            "another audience",
            key.sign(&with("aud", json!("forum"))),
            TokenError::Audience,
        ),
        (
            "truncated",
            token[..token.len() - 3].to_owned(),
            TokenError::Signature,
        ),
        (
            "oversized",
            key.sign(&with("x", json!("x".repeat(9000)))),
            TokenError::Malformed,
        ),
    ];
    for (what, token, expected) in refused {
        assert_eq!(auth.verify(&token).await.err(), Some(expected), "{what}");
    }
}

#[tokio::test]
async fn a_development_token_lives_as_long_as_it_is_asked_to() {
    let auth = auth("shop", SECRET, None);
    let tokens = auth.local().unwrap().access_tokens();
    let token = tokens
        .issue_for(Uuid::nil(), "admin", Duration::from_secs(3600))
        .unwrap();
    let identity = auth.verify(&token).await.unwrap();
    let expires = identity.claims().get("exp").and_then(Value::as_i64).unwrap();
    assert!((from_now(3590)..=from_now(3600)).contains(&expires), "{expires}");
}
