//! Hooks after a commit: called once the work is stored, and never for work that may not be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use berth_database::{Error, SessionOptions};
use berth_testkit::{Action, Trigger};

use crate::fixture::{insert, test_pool};

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_called_after_an_acknowledged_commit_and_never_after_anything_else() {
    let fixture = test_pool(1).await;
    let called = Arc::new(AtomicUsize::new(0));
    let hook = || {
        let called = called.clone();
        move || {
            called.fetch_add(1, Ordering::SeqCst);
        }
    };
    let session = fixture.session("hooks");
    insert(&session, 1).await.unwrap();
    session.after_commit(hook());
    session.rollback().await.unwrap();
    insert(&session, 1).await.unwrap();
    session.after_commit(|| panic!("caught"));
    session.after_commit(hook());
    assert_eq!(called.load(Ordering::SeqCst), 0, "the commit is yet to come");
    session.commit().await.unwrap();
    assert_eq!(called.load(Ordering::SeqCst), 1);
    session.after_commit(hook());
    insert(&session, 1).await.unwrap_err();
    session.commit().await.unwrap_err();
    insert(&session, 2).await.unwrap();
    session.after_commit(hook());
    let answer_lost = Trigger::CommandComplete("COMMIT");
    fixture.limiter.arm(answer_lost, Action::Cut);
    let unknown = session.commit().await.unwrap_err();
    assert!(matches!(unknown, Error::CommitUnknown), "{unknown:?}");
    session.after_commit(hook());
    drop(session);
    assert_eq!(called.load(Ordering::SeqCst), 1);
    let lone = fixture.database.session(SessionOptions::new("lone").autocommit());
    lone.after_commit(hook());
    assert_eq!(called.load(Ordering::SeqCst), 2, "what it did is stored already");
}
