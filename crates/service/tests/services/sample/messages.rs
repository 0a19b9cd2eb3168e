//! Messages, their pages and their export.

use chrono::Utc;
use entity::sample::message::{self, Role};
use futures_util::TryStreamExt;
use sea_orm::{ActiveValue::Set, EntityTrait};
use service::sample::WriteMessage;
use service::{Error, PageRequest};
use uuid::Uuid;

use super::chat::{invalid_fields, message};
use crate::fixture::{Fixture, on_both_databases};

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_oldest_first_and_continue_after_the_previous_page() {
    on_both_databases(async |fixture: Fixture| {
        let id = fixture.conversation("First conversation").await;
        fill(&fixture, id, 5).await;
        let page = async |cursor| {
            let session = fixture.reading();
            let page = PageRequest {
                limit: Some(2),
                cursor,
            };
            fixture
                .services
                .conversations(&session)
                .messages(fixture.owner, id, page)
                .await
                .unwrap()
        };
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = page(cursor).await;
            seen.extend(page.items.into_iter().map(|row| row.body));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["0", "1", "2", "3", "4"]);
        fixture.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_every_message_in_order_and_holds_no_connection_while_nothing_is_read() {
    on_both_databases(async |fixture: Fixture| {
        let id = fixture.conversation("First conversation").await;
        fill(&fixture, id, 250).await;
        let session = fixture.reading();
        let mut export = std::pin::pin!(fixture.services.conversations(&session).export(fixture.owner, id));
        let mut seen = Vec::new();
        while let Some(row) = export.try_next().await.unwrap() {
            seen.push(row.body);
            if seen.len() == 150 {
                // In the middle of a page, with a share of one.
                fixture
                    .work(async |services, session| services.users(session).find(fixture.owner).await)
                    .await
                    .unwrap();
            }
        }
        assert_eq!(
            seen,
            (0..250).map(|number| number.to_string()).collect::<Vec<_>>()
        );
        fixture.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_an_unknown_conversation_is_not_found_and_ends() {
    on_both_databases(async |fixture: Fixture| {
        let session = fixture.reading();
        let mut export = std::pin::pin!(
            fixture
                .services
                .conversations(&session)
                .export(fixture.owner, Uuid::now_v7())
        );
        assert!(matches!(export.try_next().await, Err(Error::NotFound)));
        assert!(matches!(export.try_next().await, Ok(None)));
        fixture.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_can_change_and_delete_questions_but_not_answers() {
    on_both_databases(async |fixture: Fixture| {
        let (id, stranger) = (
            fixture.conversation("First conversation").await,
            fixture.stranger().await,
        );
        let said = fixture.work(async |services, session| {
            services
                .conversations(session)
                .ask(fixture.owner, id, message("Wel?"))
                .await
        });
        let said = said.await.unwrap();
        let change = async |who, message, body: &str| {
            let change = WriteMessage {
                body: body.to_owned(),
            };
            fixture
                .work(async |services, session| {
                    services
                        .conversations(session)
                        .update_message(who, id, message, change)
                        .await
                })
                .await
        };
        let delete = async |who, message| {
            fixture
                .work(async |services, session| {
                    services
                        .conversations(session)
                        .delete_message(who, id, message)
                        .await
                })
                .await
        };

        let changed = change(fixture.owner, said.question.id, "Well?").await.unwrap();
        assert_eq!(
            changed,
            message::Model {
                body: "Well?".to_owned(),
                ..said.question.clone()
            }
        );
        assert_eq!(
            invalid_fields(change(fixture.owner, said.question.id, " ").await),
            ["body"]
        );
        assert!(matches!(
            change(fixture.owner, said.answer.id, "No.").await,
            Err(Error::Conflict)
        ));
        assert!(matches!(
            delete(fixture.owner, said.answer.id).await,
            Err(Error::Conflict)
        ));
        assert!(matches!(
            change(stranger, said.question.id, "Ha!").await,
            Err(Error::NotFound)
        ));
        assert!(matches!(
            delete(stranger, said.question.id).await,
            Err(Error::NotFound)
        ));
        assert!(matches!(
            delete(fixture.owner, Uuid::now_v7()).await,
            Err(Error::NotFound)
        ));

        delete(fixture.owner, said.question.id).await.unwrap();
        assert_eq!(fixture.said(id).await, [(Role::Assistant, said.answer.body)]);
        fixture.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_found_in_its_own_conversation_only() {
    on_both_databases(async |fixture: Fixture| {
        let (id, other) = (
            fixture.conversation("First conversation").await,
            fixture.conversation("Second conversation").await,
        );
        let said = fixture.work(async |services, session| {
            services
                .conversations(session)
                .ask(fixture.owner, id, message("Well?"))
                .await
        });
        let question = said.await.unwrap().question;
        let session = fixture.reading();
        let conversations = fixture.services.conversations(&session);
        assert_eq!(
            conversations
                .message(fixture.owner, id, question.id)
                .await
                .unwrap(),
            question
        );
        assert!(matches!(
            conversations.message(fixture.owner, other, question.id).await,
            Err(Error::NotFound)
        ));
        fixture.end().await;
    })
    .await;
}

/// Messages "0", "1" and so on.
async fn fill(fixture: &Fixture, conversation: Uuid, number: usize) {
    let rows = (0..number).map(|number| message::ActiveModel {
        id: Set(Uuid::now_v7()),
        conversation_id: Set(conversation),
        role: Set(Role::User),
        body: Set(number.to_string()),
        created_at: Set(Utc::now()),
    });
    let rows: Vec<_> = rows.collect();
    fixture
        .work(async |_, session| {
            Ok(message::Entity::insert_many(rows)
                .exec_without_returning(session)
                .await?)
        })
        .await
        .unwrap();
}
