//! `api seed`: rows for a developer's database.

use berth_web::testing::Process;

use crate::auth::{credentials, production};
use crate::lifecycle::ANY_PORT;
use crate::server::process;

#[tokio::test]
async fn a_development_database_is_filled_once() {
    let mut server = process(&["serve"], &[ANY_PORT]);
    let client = server.listening().await;
    let url = url(&server);
    for _ in 0..2 {
        let (status, said, printed) = process(&["seed"], &[("DATABASE_URL", &url)]).ended().await;
        assert!(status.success(), "{said}");
        assert!(
            printed.iter().any(|line| line.contains("ada@example.com")),
            "{printed:#?}"
        );
        let ada = credentials("ada@example.com", "development");
        let tokens = client.anonymous().post("/api/v1/auth/login", ada).await.ok();
        let ada = client
            .anonymous()
            .with_token(tokens["access_token"].as_str().unwrap());
        assert!(ada.get("/api/v1/me").await.ok()["email_verified_at"].is_string());
        // sample begins
        for client in [&client, &ada] {
            let conversations = client.get("/api/v1/conversations").await.ok();
            assert_eq!(
                conversations["items"].as_array().unwrap().len(),
                2,
                "{conversations}"
            );
        }
        // sample ends
    }
}

#[tokio::test]
async fn a_production_database_is_not_filled() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!(
        "sqlite://{}?mode=rwc",
        folder.path().join("none.sqlite").display()
    );
    let (status, said, _) = process(&["seed"], &production(&url)).ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("APP_ENV is production"), "{said}");
    assert!(
        !folder.path().join("none.sqlite").exists(),
        "it is refused before the database is opened"
    );
}

fn url(server: &Process) -> String {
    let file = server.folder.path().join("data/berth.sqlite");
    format!("sqlite://{}?mode=rwc", file.display())
}
