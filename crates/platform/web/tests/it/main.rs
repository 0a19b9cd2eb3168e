//! The platform over HTTP: a tiny service of its own on a port of its own, for each test.
//!
//! Unless a test says otherwise the server has a share of one connection, so that a hidden second lease would wait for
//! ever.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, its own functions too"
)]

/// Runs each of these tests on SQLite and on PostgreSQL.
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
                super::$name(crate::service::postgres().await).await;
            })+
        }
    };
}

mod browser;
mod debug;
mod edge;
mod edges;
mod faults;
mod health;
mod input;
mod load;
mod metrics;
mod origins;
mod problems;
mod service;
mod site;
mod sqlstate;
mod streams;
mod traces;
mod unit_of_work;
mod warnings;
