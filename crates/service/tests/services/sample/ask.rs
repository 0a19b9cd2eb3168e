//! Questions and their answers.

use std::sync::Arc;

use entity::sample::message::Role;
use service::sample::ChatModelError;
use service::{Error, PageRequest};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::chat::{invalid_fields, message};
use super::chat_api::{ChatApi, Reply};
use crate::fixture::{Fixture, on_both_databases};

#[tokio::test(flavor = "multi_thread")]
async fn a_question_and_its_answer_are_stored_in_order_and_are_the_history_of_the_next_question() {
    asking(
        [Reply::Says("Aye."), Reply::Says("Still aye.")],
        async |fixture, api| {
            let id = fixture.conversation("First conversation").await;
            let first = ask(&fixture, id, "Well?").await.unwrap().unwrap();
            assert_eq!(
                (first.question.body.as_str(), first.answer.body.as_str()),
                ("Well?", "Aye.")
            );
            ask(&fixture, id, "Still?").await.unwrap().unwrap();
            let received: Vec<(String, String)> =
                [("user", "Well?"), ("assistant", "Aye."), ("user", "Still?")]
                    .map(|(role, body)| (role.to_owned(), body.to_owned()))
                    .into();
            assert_eq!(api.requests()[1].messages(), received);
            let said = [
                (Role::User, "Well?"),
                (Role::Assistant, "Aye."),
                (Role::User, "Still?"),
                (Role::Assistant, "Still aye."),
            ];
            assert_eq!(
                fixture.said(id).await,
                said.map(|(role, body)| (role, body.to_owned()))
            );

            let session = fixture.reading();
            let conversation = fixture
                .services
                .conversations(&session)
                .find(fixture.owner, id)
                .await
                .unwrap();
            assert!(
                conversation.updated_at > conversation.created_at,
                "a conversation that goes on is touched"
            );
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_connection_serves_others_while_the_chat_model_works() {
    asking([Reply::SaysLater("At last.")], async |fixture, api| {
        let id = fixture.conversation("First conversation").await;
        let asking = ask(&fixture, id, "Well?");
        api.arrival().await;
        let other = fixture.conversation("Second conversation").await;
        assert_eq!(fixture.said(other).await, []);
        assert_eq!(
            fixture.said(id).await,
            [(Role::User, "Well?".to_owned())],
            "the question is stored already"
        );
        assert!(!asking.is_finished());
        api.release();
        assert_eq!(asking.await.unwrap().unwrap().answer.body, "At last.");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_stays_stored_when_the_chat_model_fails() {
    asking(
        [Reply::Raw(500, String::new()), Reply::Says("Aye.")],
        async |fixture, _| {
            let id = fixture.conversation("First conversation").await;
            match ask(&fixture, id, "Well?").await.unwrap() {
                Err(Error::Upstream { detail, source }) => {
                    let source = source.downcast_ref();
                    assert!(
                        matches!(source, Some(ChatModelError::Status { status: 500 })),
                        "{source:?}"
                    );
                    let session = fixture.reading();
                    let conversations = fixture.services.conversations(&session);
                    let page = conversations
                        .messages(fixture.owner, id, PageRequest::default())
                        .await;
                    let question = &page.unwrap().items[0];
                    assert_eq!(question.body, "Well?");
                    assert!(detail.contains(&question.id.to_string()), "{detail}");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(fixture.said(id).await.len(), 1);
            ask(&fixture, id, "Again?").await.unwrap().unwrap();
            assert_eq!(fixture.said(id).await.len(), 3);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_stays_stored_when_the_client_disconnects_and_no_connection_is_held() {
    asking([Reply::SaysLater("Too late.")], async |fixture, api| {
        let id = fixture.conversation("First conversation").await;
        let asking = ask(&fixture, id, "Well?");
        api.arrival().await;
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        api.release();
        assert_eq!(fixture.said(id).await, [(Role::User, "Well?".to_owned())]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_a_conversation_that_was_deleted_meanwhile_is_not_found() {
    asking([Reply::SaysLater("Too late.")], async |fixture, api| {
        let id = fixture.conversation("First conversation").await;
        let asking = ask(&fixture, id, "Well?");
        api.arrival().await;
        fixture
            .work(async |services, session| {
                services
                    .conversations(session)
                    .delete(fixture.owner, id, &service::ExpectedVersion::default())
                    .await
            })
            .await
            .unwrap();
        api.release();
        let answered = asking.await.unwrap();
        assert!(matches!(answered, Err(Error::NotFound)), "{answered:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nul_characters_are_removed_from_an_answer() {
    asking([Reply::Says("A\0ye.")], async |fixture, _| {
        let id = fixture.conversation("First conversation").await;
        assert_eq!(
            ask(&fixture, id, "Well?").await.unwrap().unwrap().answer.body,
            "Aye."
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chat_model_receives_the_last_fifty_messages() {
    asking([Reply::Says("Aye.")], async |fixture, api| {
        let id = fixture.conversation("First conversation").await;
        for number in 0..30 {
            ask(&fixture, id, &number.to_string()).await.unwrap().unwrap();
        }
        let received = api.requests()[29].messages();
        assert_eq!(received.len(), 50);
        assert_eq!(received[49].1, "29");
        assert_eq!(received[1].1, "5", "{received:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_body_is_reported_as_body_before_the_chat_model_is_asked() {
    on_both_databases(async |fixture: Fixture| {
        let id = fixture.conversation("First conversation").await;
        for body in ["", " \n\t", &"x".repeat(32_001), "nul\0"] {
            let said = fixture.work(async |services, session| {
                services
                    .conversations(session)
                    .ask(fixture.owner, id, message(body))
                    .await
            });
            assert_eq!(invalid_fields(said.await), ["body"], "{body:.10?}");
        }
        assert_eq!(fixture.said(id).await, []);
        let longest = "\u{2693}".repeat(32_000);
        let said = fixture.work(async |services, session| {
            services
                .conversations(session)
                .ask(fixture.owner, id, message(&longest))
                .await
        });
        assert_eq!(said.await.unwrap().question.body, longest);
        fixture.end().await;
    })
    .await;
}

/// Runs a test on both databases, each with an API of its own that sends these replies.
async fn asking<const N: usize>(replies: [Reply; N], test: impl AsyncFn(Arc<Fixture>, ChatApi)) {
    let api = ChatApi::start(replies.clone()).await;
    let fixture = Arc::new(Fixture::sqlite().await.answered_by(Arc::new(api.chat_model())));
    test(fixture, api).await;
    let api = ChatApi::start(replies).await;
    let fixture = Arc::new(Fixture::postgres().await.answered_by(Arc::new(api.chat_model())));
    test(fixture, api).await;
}

/// Asks a question in a task of its own, as a request does.
fn ask(
    fixture: &Arc<Fixture>,
    conversation: Uuid,
    body: &str,
) -> JoinHandle<Result<service::sample::QuestionAndAnswer, Error>> {
    let (fixture, body) = (Arc::clone(fixture), message(body));
    tokio::spawn(async move {
        fixture
            .work(async |services, session| {
                services
                    .conversations(session)
                    .ask(fixture.owner, conversation, body)
                    .await
            })
            .await
    })
}
