use service::{ConversationChange, Error, NewConversation, PageRequest};

use super::chat::message;
use crate::fixture::{Bench, broken, on_both};

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_reads_as_it_was_written() {
    on_both(async |bench: Bench| {
        let new = NewConversation {
            title: "  Knots \u{2693} ".to_owned(),
            is_public: true,
        };
        let made = bench
            .work(async |services, session| services.conversations(session).create(bench.owner, new).await);
        let made = made.await.unwrap();
        assert_eq!((made.title.as_str(), made.is_public), ("Knots \u{2693}", true));
        assert_eq!(made.created_at, made.updated_at);
        let session = bench.reading();
        assert_eq!(
            bench
                .services
                .conversations(&session)
                .find(bench.owner, made.id)
                .await
                .unwrap(),
            made
        );
        bench.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn titles_break_rules_by_name() {
    on_both(async |bench: Bench| {
        let id = bench.conversation("Knots").await;
        for title in ["", " \n ", &"x".repeat(201), "nul\0"] {
            let new = NewConversation {
                title: title.to_owned(),
                is_public: false,
            };
            let made = bench.work(async |services, session| {
                services.conversations(session).create(bench.owner, new).await
            });
            assert_eq!(broken(made.await), ["title"], "{title:?}");
            let change = ConversationChange {
                title: Some(title.to_owned()),
                is_public: None,
            };
            let changed = bench.work(async |services, session| {
                services
                    .conversations(session)
                    .update(bench.owner, id, change)
                    .await
            });
            assert_eq!(broken(changed.await), ["title"], "{title:?}");
        }
        bench.conversation(&"\u{2693}".repeat(200)).await;
        bench.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_newest_first_and_stay_so_while_conversations_come_and_go() {
    on_both(async |bench: Bench| {
        let mut ids = Vec::new();
        for number in 0..7 {
            ids.push(bench.conversation(&number.to_string()).await);
        }
        let first = page(&bench, Some(3), None).await.unwrap();
        assert_eq!(first.0, ["6", "5", "4"]);
        bench.conversation("newer than the first page").await;
        for gone in [ids[4], ids[2]] {
            let gone = bench.work(async |services, session| {
                services.conversations(session).delete(bench.owner, gone).await
            });
            gone.await.unwrap();
        }
        let second = page(&bench, Some(3), first.1).await.unwrap();
        assert_eq!(
            second,
            (vec!["3".to_owned(), "1".to_owned(), "0".to_owned()], None)
        );
        bench.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_changes_what_it_names() {
    on_both(async |bench: Bench| {
        let id = bench.conversation("Knots").await;
        let change = async |change| {
            bench
                .work(async |services, session| {
                    services
                        .conversations(session)
                        .update(bench.owner, id, change)
                        .await
                })
                .await
                .unwrap()
        };
        let published = change(ConversationChange {
            title: None,
            is_public: Some(true),
        })
        .await;
        assert_eq!((published.title.as_str(), published.is_public), ("Knots", true));
        assert!(published.updated_at > published.created_at);
        let renamed = change(ConversationChange {
            title: Some(" Bends ".to_owned()),
            is_public: None,
        })
        .await;
        assert_eq!((renamed.title.as_str(), renamed.is_public), ("Bends", true));
        let session = bench.reading();
        assert_eq!(
            bench
                .services
                .conversations(&session)
                .find(bench.owner, id)
                .await
                .unwrap(),
            renamed
        );
        bench.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_private_is_not_there_for_others_and_what_is_public_is_theirs_to_read_only() {
    on_both(async |bench: Bench| {
        let (id, stranger) = (bench.conversation("Knots").await, bench.stranger().await);
        let find = async || {
            bench
                .work(async |services, session| services.conversations(session).find(stranger, id).await)
                .await
        };
        assert!(matches!(find().await, Err(Error::NotFound)));

        let publish = ConversationChange {
            title: None,
            is_public: Some(true),
        };
        bench
            .work(async |services, session| {
                services
                    .conversations(session)
                    .update(bench.owner, id, publish)
                    .await
            })
            .await
            .unwrap();
        assert_eq!(find().await.unwrap().id, id);

        let change = ConversationChange {
            title: Some("Mine".to_owned()),
            is_public: None,
        };
        let attempts = [
            bench
                .work(async |services, session| {
                    services
                        .conversations(session)
                        .update(stranger, id, change)
                        .await
                        .map(drop)
                })
                .await,
            bench
                .work(async |services, session| services.conversations(session).delete(stranger, id).await)
                .await,
            bench
                .work(async |services, session| {
                    services
                        .conversations(session)
                        .post(stranger, id, message("Mine"))
                        .await
                        .map(drop)
                })
                .await,
        ];
        for attempt in attempts {
            assert!(matches!(attempt, Err(Error::NotFound)), "{attempt:?}");
        }
        assert_eq!(find().await.unwrap().title, "Knots");
        let listed = bench.work(async |services, session| {
            services
                .conversations(session)
                .list(stranger, PageRequest::default())
                .await
        });
        assert!(
            listed.await.unwrap().items.is_empty(),
            "a list shows one's own only"
        );
        bench.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_takes_its_messages_along() {
    use sea_orm::{EntityTrait, PaginatorTrait};
    on_both(async |bench: Bench| {
        let id = bench.conversation("Knots").await;
        bench
            .work(async |services, session| {
                services
                    .conversations(session)
                    .post(bench.owner, id, message("Well?"))
                    .await
            })
            .await
            .unwrap();
        bench
            .work(async |services, session| services.conversations(session).delete(bench.owner, id).await)
            .await
            .unwrap();
        let again = bench
            .work(async |services, session| services.conversations(session).delete(bench.owner, id).await);
        assert!(matches!(again.await, Err(Error::NotFound)));
        let left =
            bench.work(async |_, session| Ok(entity::sample::message::Entity::find().count(session).await?));
        assert_eq!(left.await.unwrap(), 0);
        bench.end().await;
    })
    .await;
}

/// The titles of a page of the owner's, and its next cursor.
async fn page(
    bench: &Bench,
    limit: Option<u64>,
    cursor: Option<String>,
) -> Result<(Vec<String>, Option<String>), Error> {
    let session = bench.reading();
    let page = bench
        .services
        .conversations(&session)
        .list(bench.owner, PageRequest { limit, cursor })
        .await?;
    Ok((page.items.into_iter().map(|row| row.title).collect(), page.next))
}
