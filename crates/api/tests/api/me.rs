//! The user who sends the request.

use uuid::Uuid;

on_each_database! {
    async fn without_authentication_the_user_is_the_development_user(server: Server) {
        let user = server.client().get("/api/v1/me").await.ok();
        assert_eq!(user["email"], "developer@localhost");
        assert!(user["id"].as_str().unwrap().parse::<Uuid>().is_ok(), "{user}");
        assert_eq!(server.client().get("/api/v1/me").await.ok(), user);
    }
}
