//! What is measured with the example's routes: whole services, each in a process of its own.

mod http;
mod overhead;
mod service;
mod stock;

pub(crate) use self::service::run_as_service;

/// Runs the measurements that were asked for.
pub(crate) async fn run(runs: impl Fn(&[&str]) -> bool) {
    if runs(&["http"]) {
        http::run().await;
    }
    if runs(&["overhead", "observe"]) {
        overhead::run().await;
    }
}
