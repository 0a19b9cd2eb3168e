//! The service from outside: a real server on a port of its own, spoken to over HTTP.
//!
//! Unless a test says otherwise its server has a share of one connection, so that a handler which secretly took a
//! second one would wait for ever.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, its own functions too"
)]

/// Runs each of these tests on SQLite and on PostgreSQL, with a server as it comes.
macro_rules! on_each_database {
    ($(async fn $name:ident($server:ident: Server) $body:block)+) => {
        on_each_store! {
            $(async fn $name(store: Store) {
                let $server = crate::server::start(store).await;
                $body
            })+
        }
    };
}

/// Runs each of these tests on SQLite and on PostgreSQL, with a server that the test starts.
macro_rules! on_each_store {
    ($(async fn $name:ident($store:ident: Store) $body:block)+) => {
        $(async fn $name($store: berth_web::testing::Store) $body)+

        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(berth_web::testing::Store::sqlite()).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::server::postgres().await).await;
            })+
        }
    };
}

mod server;
mod start;

mod auth;

mod docs;
mod email;
mod idempotency;
mod issuers;
mod lifecycle;
#[cfg(target_os = "linux")]
mod login_load;
mod me;
mod openapi;
mod sample; // sample
mod seed;
mod settings;
mod statuses;
#[cfg(feature = "otlp")]
mod traces;
