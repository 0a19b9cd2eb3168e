//! One trace from whoever calls us to whomever we ask.

use reqwest::{Method, StatusCode};

use crate::peer::Peer;
use crate::site::Site;

pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub(crate) const PARENT: &str = "00f067aa0ba902b7";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_trace_goes_on_in_whom_we_ask() {
    let (site, peer) = (Site::start().await, Peer::start("{}").await);
    ask(&site, &peer, Some(&format!("00-{TRACE}-{PARENT}-01"))).await;
    goes_on(&peer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_trace_none_is_made_up() {
    let (site, peer) = (Site::start().await, Peer::start("{}").await);
    for traceparent in [None, Some("00-nonsense-00f067aa0ba902b7-01")] {
        ask(&site, &peer, traceparent).await;
    }
    let heard = peer.heard();
    assert_eq!(heard.len(), 2);
    assert!(heard.iter().all(|request| traceparent(request).is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_request_cost_is_told_in_development_only() {
    use api::settings::Environment::{Development, Production};
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
pub(crate) fn goes_on(peer: &Peer) {
    let heard = peer.heard();
    let sent = traceparent(&heard[0]).expect("the trace goes on");
    let parts: Vec<_> = sent.split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE, "01"));
    assert!(parts[2].len() == 16 && parts[2] != PARENT, "{sent}");
}

fn traceparent(request: &str) -> Option<&str> {
    request
        .lines()
        .find_map(|line| line.strip_prefix("traceparent: "))
}

#[cfg(feature = "otlp")]
mod otlp {
    use std::process::Stdio;

    use berth_testkit::eventually;
    use serde_json::Value;
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::process::Command;

    use super::{PARENT, Peer, TRACE};
    use crate::site::{http, migrated};

    #[tokio::test]
    async fn spans_of_a_request_and_its_statements_reach_a_collector_as_one_trace() {
        let (collector, database) = (Peer::start("{}").await, migrated().await);
        let mut process = Command::new(env!("CARGO_BIN_EXE_api"))
            .env_clear()
            .envs([("SERVER_PORT", "0"), ("DATABASE_URL", &*database.url())])
            .envs([
                ("APP__TELEMETRY__OTLP_ENDPOINT", &*collector.url),
                ("APP__STARTUP__MIGRATE", "skip"),
            ])
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary was built");
        let mut log = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let url = loop {
            let line = log.next_line().await.unwrap().expect("it starts");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split(',').next().unwrap().to_owned();
            }
        };
        let traceparent = format!("00-{TRACE}-{PARENT}-01");
        // The first request inserts the development user, so it commits.
        let request = http()
            .get(format!("{url}/api/v1/me"))
            .header("traceparent", &traceparent);
        assert!(request.send().await.unwrap().status().is_success());
        // The end sends what is left.
        let pid = process.id().unwrap().to_string();
        assert!(Command::new("kill").arg(pid).status().await.unwrap().success());
        assert!(process.wait().await.unwrap().success());
        eventually(async || spans(&collector).iter().any(is_request)).await;
        let spans = spans(&collector);
        let ours: Vec<_> = spans.iter().filter(|span| span["traceId"] == TRACE).collect();
        let request = ours
            .iter()
            .find(|span| is_request(span) && span["name"].as_str().unwrap().starts_with("GET /"))
            .expect("the request has a span");
        assert_eq!(request["parentSpanId"], PARENT);
        for name in ["db.wait", "db.statement"] {
            let span = ours.iter().find(|span| span["name"] == name);
            let span = span.unwrap_or_else(|| panic!("no {name} in {ours:#?}"));
            assert_eq!(span["parentSpanId"], request["spanId"], "{name}");
        }
        assert!(ours.iter().any(|span| span["name"] == "db.commit"), "{ours:#?}");
        assert!(spans.iter().any(|span| span["name"] == "db.open"), "{spans:#?}");
    }

    /// A server's, in OpenTelemetry's numbers.
    fn is_request(span: &Value) -> bool {
        span["kind"] == 2
    }

    fn spans(collector: &Peer) -> Vec<Value> {
        let heard = collector.heard();
        let bodies = heard
            .iter()
            .filter(|request| request.starts_with("POST /v1/traces "));
        let sent =
            bodies.map(|request| serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap());
        let each = |values: &Value, key: &str| values[key].as_array().cloned().unwrap_or_default();
        sent.flat_map(|sent: Value| each(&sent, "resourceSpans"))
            .flat_map(|resource| each(&resource, "scopeSpans"))
            .flat_map(|scope| each(&scope, "spans"))
            .collect()
    }
}
