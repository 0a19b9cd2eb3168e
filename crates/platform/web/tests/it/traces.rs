//! A trace continues from the caller to the services that this one calls.

use reqwest::{Method, StatusCode};

use crate::site::Site;
use berth_web::testing::Peer;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_trace_continues_in_outgoing_requests() {
    let (site, peer) = (Site::start().await, Peer::start("{}").await);
    ask(&site, &peer, Some(&format!("00-{TRACE}-{PARENT}-01"))).await;
    goes_on(&peer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_incoming_trace_none_is_sent() {
    let (site, peer) = (Site::start().await, Peer::start("{}").await);
    for traceparent in [None, Some("00-nonsense-00f067aa0ba902b7-01")] {
        ask(&site, &peer, traceparent).await;
    }
    let heard = peer.requests();
    assert_eq!(heard.len(), 2);
    assert!(heard.iter().all(|request| traceparent(request).is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_timing_is_sent_in_development_only() {
    use berth_web::settings::Environment::{Development, Production};
    for environment in [Development, Production] {
        let site = Site::start_with(|settings| settings.app.environment = environment).await;
        let answer = site.get("/read").await;
        let told = answer
            .headers()
            .get("server-timing")
            .map(|told| told.to_str().unwrap());
        assert_eq!(told.is_some(), environment == Development);
        if let Some(told) = told {
            for part in [
                "wait;dur=",
                "hold;dur=",
                "statements;desc=\"",
                "round-trips;desc=\"",
            ] {
                assert!(told.contains(part), "{told}");
            }
            assert!(!told.contains("statements;desc=\"0\""), "{told}");
        }
    }
}

async fn ask(site: &Site, peer: &Peer, traceparent: Option<&str>) {
    let asking = site.request(Method::GET, &format!("/ask?{}", peer.url));
    let asking = match traceparent {
        Some(traceparent) => asking.header("traceparent", traceparent),
        None => asking,
    };
    assert_eq!(asking.send().await.unwrap().status(), StatusCode::OK);
}

/// Checks that the peer was asked within the trace, by a parent of ours.
#[track_caller]
fn goes_on(peer: &Peer) {
    let heard = peer.requests();
    let sent = traceparent(&heard[0]).expect("the trace goes on");
    let parts: Vec<_> = sent.split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE, "01"));
    assert_eq!(parts[2].len(), 16, "{sent}");
    // Without an exporter this service has no span of its own, and the parent stays the caller's.
    assert_eq!(parts[2] == PARENT, cfg!(not(feature = "otlp")), "{sent}");
}

fn traceparent(request: &str) -> Option<&str> {
    request
        .lines()
        .find_map(|line| line.strip_prefix("traceparent: "))
}
