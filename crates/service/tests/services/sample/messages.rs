use chrono::Utc;
use entity::sample::message::{self, Role};
use futures_util::TryStreamExt;
use sea_orm::{ActiveValue::Set, EntityTrait};
use service::{Error, MessageChange, PageRequest};
use uuid::Uuid;

use super::chat::message;
use crate::fixture::{Bench, broken, on_both};

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_oldest_first_and_go_on_where_they_ended() {
    on_both(async |bench: Bench| {
        let id = bench.conversation("Knots").await;
        fill(&bench, id, 5).await;
        let page = async |cursor| {
            let session = bench.reading();
            let page = PageRequest {
                limit: Some(2),
                cursor,
            };
            bench
                .services
                .conversations(&session)
                .messages(bench.owner, id, page)
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
        bench.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_every_message_in_order_and_holds_no_connection_while_nobody_takes() {
    on_both(async |bench: Bench| {
        let id = bench.conversation("Knots").await;
        fill(&bench, id, 250).await;
        let session = bench.reading();
        let mut export = std::pin::pin!(bench.services.conversations(&session).export(bench.owner, id));
        let mut seen = Vec::new();
        while let Some(row) = export.try_next().await.unwrap() {
            seen.push(row.body);
            if seen.len() == 150 {
                // In the middle of a page, with a share of one.
                bench
                    .work(async |services, session| services.users(session).find(bench.owner).await)
                    .await
                    .unwrap();
            }
        }
        assert_eq!(
            seen,
            (0..250).map(|number| number.to_string()).collect::<Vec<_>>()
        );
        bench.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_what_is_not_there_says_so_and_ends() {
    on_both(async |bench: Bench| {
        let session = bench.reading();
        let mut export = std::pin::pin!(
            bench
                .services
                .conversations(&session)
                .export(bench.owner, Uuid::now_v7())
        );
        assert!(matches!(export.try_next().await, Err(Error::NotFound)));
        assert!(matches!(export.try_next().await, Ok(None)));
        bench.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changes_and_deletes_what_one_said_and_nothing_else() {
    on_both(async |bench: Bench| {
        let (id, stranger) = (bench.conversation("Knots").await, bench.stranger().await);
        let said = bench.work(async |services, session| {
            services
                .conversations(session)
                .post(bench.owner, id, message("Wel?"))
                .await
        });
        let said = said.await.unwrap();
        let change = async |who, message, body: &str| {
            let change = MessageChange {
                body: body.to_owned(),
            };
            bench
                .work(async |services, session| {
                    services
                        .conversations(session)
                        .update_message(who, id, message, change)
                        .await
                })
                .await
        };
        let delete = async |who, message| {
            bench
                .work(async |services, session| {
                    services
                        .conversations(session)
                        .delete_message(who, id, message)
                        .await
                })
                .await
        };

        let changed = change(bench.owner, said.question.id, "Well?").await.unwrap();
        assert_eq!(
            changed,
            message::Model {
                body: "Well?".to_owned(),
                ..said.question.clone()
            }
        );
        assert_eq!(broken(change(bench.owner, said.question.id, " ").await), ["body"]);
        assert!(matches!(
            change(bench.owner, said.answer.id, "No.").await,
            Err(Error::Conflict)
        ));
        assert!(matches!(
            delete(bench.owner, said.answer.id).await,
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
            delete(bench.owner, Uuid::now_v7()).await,
            Err(Error::NotFound)
        ));

        delete(bench.owner, said.question.id).await.unwrap();
        assert_eq!(bench.said(id).await, [(Role::Assistant, said.answer.body)]);
        bench.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_found_in_its_own_conversation_only() {
    on_both(async |bench: Bench| {
        let (id, other) = (
            bench.conversation("Knots").await,
            bench.conversation("Sails").await,
        );
        let said = bench.work(async |services, session| {
            services
                .conversations(session)
                .post(bench.owner, id, message("Well?"))
                .await
        });
        let question = said.await.unwrap().question;
        let session = bench.reading();
        let conversations = bench.services.conversations(&session);
        assert_eq!(
            conversations.message(bench.owner, id, question.id).await.unwrap(),
            question
        );
        assert!(matches!(
            conversations.message(bench.owner, other, question.id).await,
            Err(Error::NotFound)
        ));
        bench.end().await;
    })
    .await;
}

/// Messages "0", "1" and so on.
async fn fill(bench: &Bench, conversation: Uuid, number: usize) {
    let rows = (0..number).map(|number| message::ActiveModel {
        id: Set(Uuid::now_v7()),
        conversation_id: Set(conversation),
        role: Set(Role::User),
        body: Set(number.to_string()),
        created_at: Set(Utc::now()),
    });
    let rows: Vec<_> = rows.collect();
    bench
        .work(async |_, session| {
            Ok(message::Entity::insert_many(rows)
                .exec_without_returning(session)
                .await?)
        })
        .await
        .unwrap();
}
