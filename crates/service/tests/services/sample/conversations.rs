//! Conversations and their pages.

use service::sample::{CreateConversation, UpdateConversation};
use service::{Error, PageRequest};

use super::chat::{invalid_fields, message};
use crate::fixture::{Fixture, on_both_databases};

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_reads_as_it_was_written() {
    on_both_databases(async |fixture: Fixture| {
        let new = CreateConversation {
            title: "  First conversation \u{2693} ".into(),
            is_public: true,
        };
        let made = fixture
            .work(async |services, session| services.conversations(session).create(fixture.owner, new).await);
        let made = made.await.unwrap();
        assert_eq!(
            (made.title.as_str(), made.is_public),
            ("First conversation \u{2693}", true)
        );
        assert_eq!(made.created_at, made.updated_at);
        let session = fixture.reading();
        assert_eq!(
            fixture
                .services
                .conversations(&session)
                .find(fixture.owner, made.id)
                .await
                .unwrap(),
            made
        );
        fixture.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_title_is_reported_as_title() {
    on_both_databases(async |fixture: Fixture| {
        let id = fixture.conversation("First conversation").await;
        for title in ["", " \n ", &"x".repeat(201), "nul\0"] {
            let new = CreateConversation {
                title: title.into(),
                is_public: false,
            };
            let made = fixture.work(async |services, session| {
                services.conversations(session).create(fixture.owner, new).await
            });
            assert_eq!(invalid_fields(made.await), ["title"], "{title:?}");
            let change = UpdateConversation {
                title: Some(title.into()),
                is_public: None,
            };
            let changed = fixture.work(async |services, session| {
                services
                    .conversations(session)
                    .update(fixture.owner, id, &service::ExpectedVersion::default(), change)
                    .await
            });
            assert_eq!(invalid_fields(changed.await), ["title"], "{title:?}");
        }
        fixture.conversation(&"\u{2693}".repeat(200)).await;
        fixture.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_newest_first_and_stay_stable_while_conversations_come_and_go() {
    on_both_databases(async |fixture: Fixture| {
        let mut ids = Vec::new();
        for number in 0..7 {
            ids.push(fixture.conversation(&number.to_string()).await);
        }
        let first = page(&fixture, Some(3), None).await.unwrap();
        assert_eq!(first.0, ["6", "5", "4"]);
        fixture.conversation("newer than the first page").await;
        for gone in [ids[4], ids[2]] {
            let gone = fixture.work(async |services, session| {
                services
                    .conversations(session)
                    .delete(fixture.owner, gone, &service::ExpectedVersion::default())
                    .await
            });
            gone.await.unwrap();
        }
        let second = page(&fixture, Some(3), first.1).await.unwrap();
        assert_eq!(
            second,
            (vec!["3".to_owned(), "1".to_owned(), "0".to_owned()], None)
        );
        fixture.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_affects_only_the_fields_it_names() {
    on_both_databases(async |fixture: Fixture| {
        let id = fixture.conversation("First conversation").await;
        let change = async |change| {
            fixture
                .work(async |services, session| {
                    services
                        .conversations(session)
                        .update(fixture.owner, id, &service::ExpectedVersion::default(), change)
                        .await
                })
                .await
                .unwrap()
        };
        let published = change(UpdateConversation {
            title: None,
            is_public: Some(true),
        })
        .await;
        assert_eq!(
            (published.title.as_str(), published.is_public),
            ("First conversation", true)
        );
        assert!(published.updated_at > published.created_at);
        let renamed = change(UpdateConversation {
            title: Some(" Bends ".into()),
            is_public: None,
        })
        .await;
        assert_eq!((renamed.title.as_str(), renamed.is_public), ("Bends", true));
        let session = fixture.reading();
        assert_eq!(
            fixture
                .services
                .conversations(&session)
                .find(fixture.owner, id)
                .await
                .unwrap(),
            renamed
        );
        fixture.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn others_cannot_see_a_private_conversation_and_can_only_read_a_public_one() {
    on_both_databases(async |fixture: Fixture| {
        let (id, stranger) = (
            fixture.conversation("First conversation").await,
            fixture.stranger().await,
        );
        let find = async || {
            fixture
                .work(async |services, session| services.conversations(session).find(stranger, id).await)
                .await
        };
        assert!(matches!(find().await, Err(Error::NotFound)));

        let publish = UpdateConversation {
            title: None,
            is_public: Some(true),
        };
        fixture
            .work(async |services, session| {
                services
                    .conversations(session)
                    .update(fixture.owner, id, &service::ExpectedVersion::default(), publish)
                    .await
            })
            .await
            .unwrap();
        assert_eq!(find().await.unwrap().id, id);

        let change = UpdateConversation {
            title: Some("Mine".into()),
            is_public: None,
        };
        let attempts = [
            fixture
                .work(async |services, session| {
                    services
                        .conversations(session)
                        .update(stranger, id, &service::ExpectedVersion::default(), change)
                        .await
                        .map(drop)
                })
                .await,
            fixture
                .work(async |services, session| {
                    services
                        .conversations(session)
                        .delete(stranger, id, &service::ExpectedVersion::default())
                        .await
                })
                .await,
            fixture
                .work(async |services, session| {
                    services
                        .conversations(session)
                        .ask(stranger, id, message("Mine"))
                        .await
                        .map(drop)
                })
                .await,
        ];
        for attempt in attempts {
            assert!(matches!(attempt, Err(Error::NotFound)), "{attempt:?}");
        }
        assert_eq!(find().await.unwrap().title, "First conversation");
        let listed = fixture.work(async |services, session| {
            services
                .conversations(session)
                .list(stranger, Default::default(), PageRequest::default())
                .await
        });
        assert!(
            listed.await.unwrap().items.is_empty(),
            "a list shows one's own only"
        );
        fixture.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_conversation_deletes_its_messages() {
    use sea_orm::{EntityTrait, PaginatorTrait};
    on_both_databases(async |fixture: Fixture| {
        let id = fixture.conversation("First conversation").await;
        fixture
            .work(async |services, session| {
                services
                    .conversations(session)
                    .ask(fixture.owner, id, message("Well?"))
                    .await
            })
            .await
            .unwrap();
        fixture
            .work(async |services, session| {
                services
                    .conversations(session)
                    .delete(fixture.owner, id, &service::ExpectedVersion::default())
                    .await
            })
            .await
            .unwrap();
        let again = fixture.work(async |services, session| {
            services
                .conversations(session)
                .delete(fixture.owner, id, &service::ExpectedVersion::default())
                .await
        });
        assert!(matches!(again.await, Err(Error::NotFound)));
        let left = fixture
            .work(async |_, session| Ok(entity::sample::message::Entity::find().count(session).await?));
        assert_eq!(left.await.unwrap(), 0);
        fixture.end().await;
    })
    .await;
}

/// Returns the titles of a page of the owner's conversations, and its next cursor.
async fn page(
    fixture: &Fixture,
    limit: Option<u64>,
    cursor: Option<String>,
) -> Result<(Vec<String>, Option<String>), Error> {
    let session = fixture.reading();
    let page = fixture
        .services
        .conversations(&session)
        .list(fixture.owner, Default::default(), PageRequest { limit, cursor })
        .await?;
    Ok((page.items.into_iter().map(|row| row.title).collect(), page.next))
}
