//! Rows of the example, made through the services: faster than by requests, and by the same rules.

use berth_database::Outcome;
use berth_web::testing::TestServer;
use entity::sample::conversation;
use service::Services;
use service::sample::CreateConversation;

/// Makes conversations of the development user.
pub(crate) async fn conversations(server: &TestServer, titles: &[&str]) -> Vec<conversation::Model> {
    let (services, session) = (Services::new(), server.database().background("test"));
    let owner = services
        .users(&session)
        .development_account(None)
        .await
        .unwrap()
        .id;
    let mut made = Vec::new();
    for &title in titles {
        let (title, is_public) = (title.into(), false);
        let new = CreateConversation { title, is_public };
        made.push(services.conversations(&session).create(owner, new).await.unwrap());
    }
    session.end(Outcome::Commit).await.unwrap();
    made
}
