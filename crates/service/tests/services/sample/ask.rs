use std::sync::Arc;

use entity::sample::message::Role;
use service::{Error, ResponderError};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::chat::message;
use super::chat_api::{ChatApi, Reply};
use crate::fixture::{Bench, broken, on_both};

#[tokio::test(flavor = "multi_thread")]
async fn a_question_and_its_answer_are_stored_in_order_and_the_next_one_is_told_of_both() {
    asking(
        [Reply::Says("Aye."), Reply::Says("Still aye.")],
        async |bench, api| {
            let id = bench.conversation("Knots").await;
            let first = ask(&bench, id, "Well?").await.unwrap().unwrap();
            assert_eq!(
                (first.question.body.as_str(), first.answer.body.as_str()),
                ("Well?", "Aye.")
            );
            ask(&bench, id, "Still?").await.unwrap().unwrap();
            let told: Vec<(String, String)> = [("user", "Well?"), ("assistant", "Aye."), ("user", "Still?")]
                .map(|(role, body)| (role.to_owned(), body.to_owned()))
                .into();
            assert_eq!(api.requests()[1].turns(), told);
            let said = [
                (Role::User, "Well?"),
                (Role::Assistant, "Aye."),
                (Role::User, "Still?"),
                (Role::Assistant, "Still aye."),
            ];
            assert_eq!(
                bench.said(id).await,
                said.map(|(role, body)| (role, body.to_owned()))
            );

            let session = bench.reading();
            let conversation = bench
                .services
                .conversations(&session)
                .find(bench.owner, id)
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
async fn while_the_responder_thinks_the_only_connection_serves_somebody_else() {
    asking([Reply::SaysLater("At last.")], async |bench, api| {
        let id = bench.conversation("Knots").await;
        let asking = ask(&bench, id, "Well?");
        api.arrival().await;
        let other = bench.conversation("Sails").await;
        assert_eq!(bench.said(other).await, []);
        assert_eq!(
            bench.said(id).await,
            [(Role::User, "Well?".to_owned())],
            "the question is there for everybody"
        );
        assert!(!asking.is_finished());
        api.let_go();
        assert_eq!(asking.await.unwrap().unwrap().answer.body, "At last.");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_survives_a_responder_that_fails() {
    asking(
        [Reply::Raw(500, String::new()), Reply::Says("Aye.")],
        async |bench, _| {
            let id = bench.conversation("Knots").await;
            match ask(&bench, id, "Well?").await.unwrap() {
                Err(Error::Upstream { detail, source }) => {
                    let source = source.downcast_ref();
                    assert!(
                        matches!(source, Some(ResponderError::Refused { status: 500 })),
                        "{source:?}"
                    );
                    let mut words = detail.split([' ', ';']);
                    let question_id = words
                        .find_map(|word| word.parse().ok())
                        .expect("the question's id");
                    let session = bench.reading();
                    let question = bench
                        .services
                        .conversations(&session)
                        .message(bench.owner, id, question_id)
                        .await;
                    assert_eq!(question.unwrap().body, "Well?");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(bench.said(id).await.len(), 1);
            ask(&bench, id, "Again?").await.unwrap().unwrap();
            assert_eq!(bench.said(id).await.len(), 3);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_survives_a_client_that_leaves_and_nothing_stays_held() {
    asking([Reply::SaysLater("To nobody.")], async |bench, api| {
        let id = bench.conversation("Knots").await;
        let asking = ask(&bench, id, "Well?");
        api.arrival().await;
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        api.let_go();
        assert_eq!(bench.said(id).await, [(Role::User, "Well?".to_owned())]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_a_conversation_that_was_deleted_meanwhile_finds_nothing() {
    asking([Reply::SaysLater("Too late.")], async |bench, api| {
        let id = bench.conversation("Knots").await;
        let asking = ask(&bench, id, "Well?");
        api.arrival().await;
        bench
            .work(async |services, session| services.conversations(session).delete(bench.owner, id).await)
            .await
            .unwrap();
        api.let_go();
        let answered = asking.await.unwrap();
        assert!(matches!(answered, Err(Error::NotFound)), "{answered:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_cannot_hold_is_dropped_from_an_answer() {
    asking([Reply::Says("A\0ye.")], async |bench, _| {
        let id = bench.conversation("Knots").await;
        assert_eq!(
            ask(&bench, id, "Well?").await.unwrap().unwrap().answer.body,
            "Aye."
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_responder_is_told_the_last_fifty_messages() {
    asking([Reply::Says("Aye.")], async |bench, api| {
        let id = bench.conversation("Knots").await;
        for number in 0..30 {
            ask(&bench, id, &number.to_string()).await.unwrap().unwrap();
        }
        let told = api.requests()[29].turns();
        assert_eq!(told.len(), 50);
        assert_eq!(told[49].1, "29");
        assert_eq!(told[1].1, "5", "{told:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_break_rules_by_name_before_anybody_is_asked() {
    on_both(async |bench: Bench| {
        let id = bench.conversation("Knots").await;
        for body in ["", " \n\t", &"x".repeat(32_001), "nul\0"] {
            let said = bench.work(async |services, session| {
                services
                    .conversations(session)
                    .post(bench.owner, id, message(body))
                    .await
            });
            assert_eq!(broken(said.await), ["body"], "{body:.10?}");
        }
        assert_eq!(bench.said(id).await, []);
        let longest = "\u{2693}".repeat(32_000);
        let said = bench.work(async |services, session| {
            services
                .conversations(session)
                .post(bench.owner, id, message(&longest))
                .await
        });
        assert_eq!(said.await.unwrap().question.body, longest);
        bench.end().await;
    })
    .await;
}

/// Runs a test on both databases, each with an API of its own that replies like this.
async fn asking<const N: usize>(replies: [Reply; N], test: impl AsyncFn(Arc<Bench>, ChatApi)) {
    let api = ChatApi::start(replies.clone()).await;
    let bench = Arc::new(Bench::sqlite().await.answered_by(Arc::new(api.responder())));
    test(bench, api).await;
    let api = ChatApi::start(replies).await;
    let bench = Arc::new(Bench::postgres().await.answered_by(Arc::new(api.responder())));
    test(bench, api).await;
}

/// Posts a message in a task of its own, as a request would.
fn ask(bench: &Arc<Bench>, conversation: Uuid, body: &str) -> JoinHandle<Result<service::Exchange, Error>> {
    let (bench, body) = (Arc::clone(bench), message(body));
    tokio::spawn(async move {
        bench
            .work(async |services, session| {
                services
                    .conversations(session)
                    .post(bench.owner, conversation, body)
                    .await
            })
            .await
    })
}
