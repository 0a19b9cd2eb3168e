//! Passwords: the same work for accounts that do not exist, and a limit of what waits.

use berth_auth::{Checked, Error, Passwords, Settings};
use berth_testkit::eventually;

/// As fast as argon2id can be.
fn fast() -> Settings {
    Settings {
        password_memory: 64,
        password_iterations: 1,
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_password_matches_its_hash_alone() {
    let passwords = Passwords::new(&fast()).unwrap();
    let hash = passwords.hash("correct horse").await.unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{hash}");
    assert_ne!(
        hash,
        passwords.hash("correct horse").await.unwrap(),
        "each has a salt of its own"
    );
    let matches =
        async |password: &str, hash: Option<&str>| passwords.check(password, hash).await.unwrap().matches;
    assert!(matches("correct horse", Some(&hash)).await);
    assert!(!matches("wrong horse", Some(&hash)).await);
    assert!(!matches("", Some("not a hash")).await);
}

#[tokio::test]
async fn an_account_that_does_not_exist_costs_a_hash_too() {
    let passwords = Passwords::new(&fast()).unwrap();
    for hash in [None, Some(passwords.hash("correct horse").await.unwrap())] {
        let before = passwords.computed();
        let checked = passwords.check("wrong horse", hash.as_deref()).await.unwrap();
        assert!(!checked.matches);
        assert_eq!(passwords.computed(), before + 1, "{hash:?}");
    }
}

#[tokio::test]
async fn the_hash_for_missing_accounts_has_the_parameters_of_the_settings() {
    // The time of a hash is its memory times its passes: here 64 times as much as the fast one's.
    let slow = Settings {
        password_memory: 64 * 64,
        ..fast()
    };
    let time = async |settings: &Settings| {
        let passwords = Passwords::new(settings).unwrap();
        let began = std::time::Instant::now();
        for _ in 0..8 {
            passwords.check("x", None).await.unwrap();
        }
        began.elapsed()
    };
    assert!(time(&slow).await > time(&fast()).await);
}

#[tokio::test]
async fn a_hash_with_weaker_parameters_is_outdated() {
    let weak = Passwords::new(&fast())
        .unwrap()
        .hash("correct horse")
        .await
        .unwrap();
    for stronger in [
        Settings {
            password_memory: 65,
            ..fast()
        },
        Settings {
            password_iterations: 2,
            ..fast()
        },
    ] {
        let passwords = Passwords::new(&stronger).unwrap();
        let checked = passwords.check("correct horse", Some(&weak)).await.unwrap();
        assert_eq!(
            checked,
            Checked {
                matches: true,
                outdated: true
            }
        );
        let strong = passwords.hash("correct horse").await.unwrap();
        assert!(
            !passwords
                .check("correct horse", Some(&strong))
                .await
                .unwrap()
                .outdated
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_rejects_at_once_and_a_free_place_is_used() {
    let settings = Settings {
        hashing_threads: 1,
        hashing_queue: 2,
        // Slow enough for the queue to fill.
        password_memory: 65_536,
        password_iterations: 4,
        ..Settings::default()
    };
    let passwords = Passwords::new(&settings).unwrap();
    let callers: Vec<_> = (0..10)
        .map(|_| {
            let passwords = passwords.clone();
            tokio::spawn(async move { passwords.hash("correct horse").await })
        })
        .collect();
    let (mut hashed, mut refused) = (0, 0);
    for caller in callers {
        match caller.await.unwrap() {
            Ok(_) => hashed += 1,
            Err(Error::Busy { retry_after }) => {
                assert!(!retry_after.is_zero());
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((hashed, refused), (3, 7));
    passwords.hash("correct horse").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_keeps_its_thread_until_the_hash_is_computed() {
    let settings = Settings {
        hashing_threads: 1,
        hashing_queue: 0,
        password_memory: 65_536,
        password_iterations: 4,
        ..Settings::default()
    };
    let passwords = Passwords::new(&settings).unwrap();
    let leaving = passwords.clone();
    let leaves = tokio::spawn(async move { leaving.hash("correct horse").await });
    eventually(async || passwords.computed() == 1).await;
    leaves.abort();
    assert!(leaves.await.unwrap_err().is_cancelled());
    let refused = passwords.hash("correct horse").await;
    assert!(matches!(refused, Err(Error::Busy { .. })), "{refused:?}");
    eventually(async || passwords.hash("correct horse").await.is_ok()).await;
}
