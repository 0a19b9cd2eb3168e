//! Requests that read like sentences: `client.post("/api/v1/things", json!({..})).await.created()`.

#![allow(
    dead_code,
    reason = "it speaks every verb, whether or not a test uses it today"
)]

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// Speaks to one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
}

/// What the server answered. A test that does not look at it tests nothing.
#[derive(Debug)]
#[must_use]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            http: http(),
            base: format!("http://{address}"),
        }
    }

    /// The same without undoing compression.
    pub(crate) fn as_it_comes(&self) -> Self {
        let http = reqwest::Client::builder()
            .no_gzip()
            .no_brotli()
            .build()
            .expect("nothing can go wrong");
        Self {
            http,
            base: self.base.clone(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::to(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        Answer::to(self.request(Method::PATCH, path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::DELETE, path)).await
    }

    /// Whether anybody answers there at all, over a connection of its own. One that a server accepts while it stops
    /// is left without an answer for as long as that takes.
    pub(crate) async fn is_answered(&self) -> bool {
        let asking = http().get(&self.base).timeout(Duration::from_secs(2));
        asking.send().await.is_ok()
    }
}

/// reqwest has TLS here, which nobody uses, and asks for the process's choice of cryptography all the same.
fn http() -> reqwest::Client {
    let _chosen = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

impl Answer {
    pub(crate) async fn to(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("the answer comes to its end");
        Self {
            status,
            headers,
            text,
        }
    }

    #[track_caller]
    pub(crate) fn assert_status(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The body of a 200.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        self.assert_status(StatusCode::OK).json()
    }

    /// The body of a 201 and where the new thing is.
    #[track_caller]
    pub(crate) fn created(self) -> (Value, String) {
        let answer = self.assert_status(StatusCode::CREATED);
        (answer.json(), answer.header("location"))
    }

    #[track_caller]
    pub(crate) fn no_content(self) {
        let answer = self.assert_status(StatusCode::NO_CONTENT);
        assert_eq!(answer.text, "");
    }

    /// The body of a problem, after checking what every problem has.
    #[track_caller]
    pub(crate) fn problem(self, status: StatusCode, kind: &str) -> Value {
        let answer = self.assert_status(status);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let body = answer.json();
        assert_eq!(body["type"], kind, "{body}");
        assert_eq!(body["status"], status.as_u16());
        assert_eq!(body["request_id"], answer.header("x-request-id"));
        assert!(!body["title"].as_str().unwrap_or_default().is_empty(), "{body}");
        assert!(
            body["instance"].as_str().unwrap_or_default().starts_with('/'),
            "{body}"
        );
        body
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> String {
        let value = self
            .headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.headers));
        value.to_str().expect("the header is text").to_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}
