//! Spans that reach a collector.

use berth_testkit::eventually;
use berth_web::testing::{Peer, Response};
use reqwest::Method;
use serde_json::Value;

use crate::server::{postgres, process};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

#[tokio::test]
async fn spans_of_a_request_and_its_statements_reach_a_collector_as_one_trace() {
    let (collector, store) = (Peer::start("{}").await, postgres().await);
    let set = [
        ("SERVER_PORT", "0"),
        ("DATABASE_URL", &*store.url()),
        ("APP__TELEMETRY__OTLP_ENDPOINT", &*collector.url),
        ("APP__STARTUP__MIGRATE", "skip"),
    ];
    let mut process = process(&[], &set);
    let client = process.listening().await;
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    // The first request inserts the development user, so it commits.
    let request = client
        .request(Method::GET, "/api/v1/me")
        .header("traceparent", traceparent);
    Response::to(request).await.ok();
    // The end exports the rest.
    process.signal("TERM").await;
    assert!(process.ended().await.0.success());
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
    let requests = collector.requests();
    let bodies = requests
        .iter()
        .filter(|request| request.starts_with("POST /v1/traces "));
    let sent = bodies.map(|request| serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap());
    let each = |values: &Value, key: &str| values[key].as_array().cloned().unwrap_or_default();
    sent.flat_map(|sent: Value| each(&sent, "resourceSpans"))
        .flat_map(|resource| each(&resource, "scopeSpans"))
        .flat_map(|scope| each(&scope, "spans"))
        .collect()
}
