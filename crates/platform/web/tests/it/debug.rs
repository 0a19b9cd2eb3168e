//! Who may see who holds what.

use std::time::Duration;

use berth_testkit::{Action, Cut, Refusal, Times, Trigger};
use berth_web::settings::{Environment, Secret};
use reqwest::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};

use crate::site::Site;

const PATH: &str = "/debug/db-pool";
/// With something in its query that is not known there.
const UNKNOWN: &str = "/debug/db-pool?x=1";
const TOKEN: &str = "0123456789abcdef";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_production_the_debug_page_does_not_exist() {
    let site = Site::start_with(|settings| settings.app.environment = Environment::Production).await;
    for path in [PATH, UNKNOWN] {
        assert_eq!(site.get(path).await.status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(site.get("/health/db-pool").await.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_debug_page_needs_its_token() {
    for environment in [Environment::Production, Environment::Development] {
        let site = Site::start_with(|settings| {
            settings.app.environment = environment;
            settings.debug.token = Some(secret(TOKEN));
        })
        .await;
        let refused = site.get(PATH).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert!(
            refused.headers()[WWW_AUTHENTICATE]
                .to_str()
                .unwrap()
                .starts_with("Basic ")
        );
        assert_eq!(refused.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(site.get(UNKNOWN).await.status(), StatusCode::UNAUTHORIZED);
        let wrong = site
            .request(Method::GET, PATH)
            .bearer_auth("0123456789abcdeX")
            .send()
            .await
            .unwrap();
        assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
        let right = site
            .request(Method::GET, PATH)
            .bearer_auth(TOKEN)
            .send()
            .await
            .unwrap();
        assert_eq!(right.status(), StatusCode::OK);
        let browser = site
            .request(Method::GET, PATH)
            .basic_auth("debug", Some(TOKEN))
            .send()
            .await
            .unwrap();
        assert_eq!(browser.status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_get_a_page_that_loads_nothing() {
    let site = Site::start().await;
    let page = site
        .request(Method::GET, PATH)
        .header(ACCEPT, "text/html,*/*;q=0.8")
        .send()
        .await
        .unwrap();
    assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(
        page.headers()[CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .contains("default-src 'none'")
    );
    let text = page
        .text()
        .await
        .unwrap()
        .replace("http://www.w3.org/2000/svg", "");
    for outside in ["http:", "https:", "//cdn", "@import", "<link rel=\"stylesheet\""] {
        assert!(!text.contains(outside), "{outside}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_pool_shows_the_clients_that_share_the_limit() {
    let site = Site::start().await;
    let told = site.json(PATH).await;
    // The look for pending migrations, with which each start begins, may still be under way.
    let holders = told["holders"].as_array().unwrap();
    assert!(
        holders
            .iter()
            .all(|holder| holder["label"] == "pending migrations"),
        "asking is no reason to be shown: {told}"
    );
    let here = told["clients"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["here"] == true)
        .unwrap();
    assert_eq!(here["name"], told["instance"]);
    // The limiter counts one that is on its way before the server shows it.
    assert!(here["connections"].as_u64() >= Some(1), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_clients_are_not_queried() {
    let site = Site::start().await;
    let _load = site.saturate(20).await;
    assert!(site.json(PATH).await["clients"].is_null());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_words_of_the_last_refusal_are_shown_here_and_to_no_client() {
    for (code, words) in [
        (
            "XX000",
            "(EMAXCONNSESSION) max clients reached in session mode - tenant-of-harbour",
        ),
        (
            "XX000",
            "(EDBHANDLEREXITED) the handler of tenant-of-harbour has exited",
        ),
        ("XX000", "(ENOTFOUND) tenant/user tenant-of-harbour not found"),
    ] {
        let site = Site::start_with(|settings| {
            settings.database.pool_timeout = Duration::from_millis(500);
            settings.database.unreachable_grace = Duration::from_millis(100);
        })
        .await;
        assert_eq!(site.get("/read").await.status(), StatusCode::OK);
        assert!(site.json(PATH).await["last_failed_attempt"].is_null());
        let refusal = Action::Fatal(Refusal::new(code, words));
        let fault = site
            .limiter
            .arm_times(Trigger::Startup, refusal, Times::For(Duration::from_secs(60)));
        site.limiter.cut_all(Cut::Reset);
        let refused = site.get("/read").await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "{words}");
        let headers = format!("{:?}", refused.headers());
        let body = refused.text().await.unwrap();
        for told in [&headers, &body] {
            assert!(!told.contains("harbour") && !told.contains(words), "{told}");
        }
        for path in ["/health", "/health/ready", "/health/db-pool"] {
            let told = site.text(path).await;
            assert!(!told.contains("harbour"), "{path}: {told}");
        }
        let answer = &site.json(PATH).await["last_failed_attempt"]["answer"];
        assert_eq!(answer, words);
        drop(fault);
    }
}

fn secret(text: &str) -> Secret {
    serde_json::from_value(text.into()).expect("a secret is a text")
}
