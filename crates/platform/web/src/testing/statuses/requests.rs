//! Requests to an operation, each for one status of the platform.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::operation::Operation;
use crate::testing::Client;

/// Bytes of an address, of headers and of a body that are admitted.
pub(super) const LIMIT: usize = 2048;
/// Time for a body. No other test of an operation is as slow.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(1);

const KEY: &str = "idempotency-key";

type Places = BTreeMap<String, String>;
/// Makes a request, unless it does not apply to the operation.
pub(super) type Make = fn(&Operation, &Client, &Places) -> Option<RequestBuilder>;

/// The requests that are refused, or answered without a body.
pub(super) const REFUSED: [Make; 10] = [
    malformed,
    of_nothing,
    of_another_version,
    of_a_known_version,
    of_no_version,
    too_large,
    too_long,
    encoded,
    invalid,
    with_large_headers,
];

/// What the document allows. Anything may be changed in any version.
pub(super) fn valid(operation: &Operation, client: &Client, places: &Places) -> RequestBuilder {
    at(operation, client, &operation.address(places), Some("*"))
}

/// With a valid body, for these versions.
fn at(operation: &Operation, client: &Client, address: &str, versions: Option<&str>) -> RequestBuilder {
    let request = without_body(operation, client, address, versions);
    match &operation.body {
        Some(body) => request.json(body),
        None => request,
    }
}

fn without_body(
    operation: &Operation,
    client: &Client,
    address: &str,
    versions: Option<&str>,
) -> RequestBuilder {
    let request = client.request(operation.method.clone(), address);
    match versions.filter(|_| operation.takes("header", "if-match")) {
        Some(versions) => request.header(IF_MATCH, versions),
        None => request,
    }
}

/// 401, also from operations without a token that check a secret.
pub(super) fn unauthenticated(
    operation: &Operation,
    client: &Client,
    places: &Places,
) -> Option<RequestBuilder> {
    let client = client.clone().with_token("invented");
    operation.names(401).then(|| valid(operation, &client, places))
}

/// 403
pub(super) fn forbidden(operation: &Operation, ordinary: &Client, places: &Places) -> Option<RequestBuilder> {
    operation.names(403).then(|| valid(operation, ordinary, places))
}

/// 400
fn malformed(operation: &Operation, client: &Client, _: &Places) -> Option<RequestBuilder> {
    let none = Places::new();
    if operation.has_body() {
        let request = without_body(operation, client, &operation.address(&none), Some("*"));
        return Some(request.header(CONTENT_TYPE, "application/json").body("{"));
    }
    if operation.has("path") {
        return Some(at(operation, client, &operation.malformed_address(), Some("*")));
    }
    operation
        .is_keyed()
        .then(|| valid(operation, client, &none).header(KEY, "two words"))
}

/// 404
fn of_nothing(operation: &Operation, client: &Client, _: &Places) -> Option<RequestBuilder> {
    operation
        .has("path")
        .then(|| valid(operation, client, &Places::new()))
}

/// 412
fn of_another_version(operation: &Operation, client: &Client, places: &Places) -> Option<RequestBuilder> {
    let takes = operation.takes("header", "if-match");
    takes.then(|| at(operation, client, &operation.address(places), Some("\"0\"")))
}

/// 304
fn of_a_known_version(operation: &Operation, client: &Client, places: &Places) -> Option<RequestBuilder> {
    let takes = operation.takes("header", "if-none-match");
    takes.then(|| valid(operation, client, places).header(IF_NONE_MATCH, "*"))
}

/// 428
fn of_no_version(operation: &Operation, client: &Client, places: &Places) -> Option<RequestBuilder> {
    let takes = operation.takes("header", "if-match");
    takes.then(|| at(operation, client, &operation.address(places), None))
}

/// 413
fn too_large(operation: &Operation, client: &Client, _: &Places) -> Option<RequestBuilder> {
    let request = without_body(operation, client, &operation.address(&Places::new()), Some("*"));
    let request = request
        .header(CONTENT_TYPE, "application/json")
        .body(" ".repeat(LIMIT + 1));
    match operation.has_body() {
        true => Some(request),
        false => operation.is_keyed().then(|| request.header(KEY, "large")),
    }
}

/// 414
fn too_long(operation: &Operation, client: &Client, places: &Places) -> Option<RequestBuilder> {
    let address = operation.address(places);
    Some(at(
        operation,
        client,
        &format!("{address}?{}", "x".repeat(LIMIT)),
        Some("*"),
    ))
}

/// 415
fn encoded(operation: &Operation, client: &Client, places: &Places) -> Option<RequestBuilder> {
    Some(valid(operation, client, places).header(CONTENT_ENCODING, "br"))
}

/// 422
fn invalid(operation: &Operation, client: &Client, places: &Places) -> Option<RequestBuilder> {
    let address = operation.address(places);
    if operation.has_body() {
        return Some(without_body(operation, client, &address, Some("*")).json(&json!([])));
    }
    let request = at(
        operation,
        client,
        &format!("{address}?no-such-parameter=1"),
        Some("*"),
    );
    operation.has("query").then_some(request)
}

/// 431
fn with_large_headers(operation: &Operation, client: &Client, places: &Places) -> Option<RequestBuilder> {
    Some(valid(operation, client, places).header("x-filler", "x".repeat(LIMIT)))
}

/// 409 and 422, and before that a refusal, which is stored as the answer.
pub(super) fn with_key(operation: &Operation, client: &Client, query: &str) -> RequestBuilder {
    let address = operation.address(&Places::new());
    let request = without_body(operation, client, &format!("{address}{query}"), Some("*"));
    let request = request.header(KEY, operation.name().replace([' ', '{', '}'], "-"));
    match operation.has_body() {
        true => request.json(&json!([])),
        false => request,
    }
}

/// 408
pub(super) async fn slow(operation: &Operation, client: &Client) -> StatusCode {
    let mut socket = pending(operation, client).await;
    let mut head = [0; 12];
    socket.read_exact(&mut head).await.expect("the server answers");
    let head = String::from_utf8_lossy(&head);
    let status = head.rsplit(' ').next().and_then(|status| status.parse().ok());
    status.expect("the answer begins with its status")
}

/// A request whose body never arrives.
pub(super) async fn pending(operation: &Operation, client: &Client) -> TcpStream {
    let (method, address) = (&operation.method, operation.address(&Places::new()));
    let authorization = client.authorization().unwrap_or_default();
    let head = format!(
        "{method} {address} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\nif-match: *\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n"
    );
    let mut socket = TcpStream::connect(client.address())
        .await
        .expect("the server listens");
    socket.write_all(head.as_bytes()).await.expect("the server reads");
    socket
}
