//! A fluent client: `client.post("/api/v1/things", json!({..})).await.created()`.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    /// The value of `Authorization`.
    authorization: Option<String>,
}

/// The answer of the server. A test that does not check it tests nothing.
#[derive(Debug)]
#[must_use]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Client {
    /// A client of the server at this address.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            http: http(),
            base: format!("http://{address}"),
            authorization: None,
        }
    }

    /// The same client, which sends this header, as in `Authorization: Bearer ...`, with each request.
    #[must_use]
    pub fn with_authorization(mut self, header: Option<&str>) -> Self {
        let value = header.map(|header| header.trim_start_matches("Authorization: "));
        self.authorization = value.map(str::to_owned);
        self
    }

    /// The same client with this access token.
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        self.with_authorization(Some(&format!("Bearer {token}")))
    }

    /// The same client without a token.
    #[must_use]
    pub fn anonymous(&self) -> Self {
        self.clone().with_authorization(None)
    }

    /// The same client, which does not decompress bodies.
    pub fn without_decompression(&self) -> Self {
        let http = reqwest::Client::builder()
            .no_gzip()
            .no_brotli()
            .build()
            .expect("the client can be built");
        Self { http, ..self.clone() }
    }

    /// The address of the server, as `host:port`.
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// The value of `Authorization` that it sends.
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// A request of any method.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    /// GET
    pub async fn get(&self, path: &str) -> Response {
        Response::to(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body
    pub async fn post(&self, path: &str, body: Value) -> Response {
        Response::to(self.request(Method::POST, path).json(&body)).await
    }

    /// PATCH with a JSON body
    pub async fn patch(&self, path: &str, body: Value) -> Response {
        Response::to(self.request(Method::PATCH, path).json(&body)).await
    }

    /// DELETE
    pub async fn delete(&self, path: &str) -> Response {
        Response::to(self.request(Method::DELETE, path)).await
    }

    /// Whether the server answers at all, over a new connection, within two seconds.
    pub async fn is_served(&self) -> bool {
        let asking = http().get(&self.base).timeout(Duration::from_secs(2));
        asking.send().await.is_ok()
    }
}

/// An HTTP client; reqwest needs a provider of cryptography even without TLS.
pub fn http() -> reqwest::Client {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

impl Response {
    /// Sends a request and reads the whole answer.
    pub async fn to(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("the body is complete");
        Self {
            status,
            headers,
            text,
        }
    }

    /// Checks the status.
    #[track_caller]
    pub fn assert_status(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The body of a 200.
    #[track_caller]
    pub fn ok(self) -> Value {
        self.assert_status(StatusCode::OK).json()
    }

    /// The body of a 201 and the address of the new resource.
    #[track_caller]
    pub fn created(self) -> (Value, String) {
        let response = self.assert_status(StatusCode::CREATED);
        (response.json(), response.header("location"))
    }

    /// Checks for a 204 without a body.
    #[track_caller]
    pub fn no_content(self) {
        let response = self.assert_status(StatusCode::NO_CONTENT);
        assert_eq!(response.text, "");
    }

    /// The body of a problem, after checking the parts that every problem has.
    #[track_caller]
    pub fn problem(self, status: StatusCode, kind: &str) -> Value {
        let response = self.assert_status(status);
        assert_eq!(response.header("content-type"), "application/problem+json");
        let body = response.json();
        assert_eq!(body["type"], kind, "{body}");
        assert_eq!(body["status"], status.as_u16());
        assert_eq!(body["request_id"], response.header("x-request-id"));
        assert!(!body["title"].as_str().unwrap_or_default().is_empty(), "{body}");
        assert!(
            body["instance"].as_str().unwrap_or_default().starts_with('/'),
            "{body}"
        );
        body
    }

    /// A header that must be there.
    #[track_caller]
    pub fn header(&self, name: &str) -> String {
        let value = self
            .headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.headers));
        value.to_str().expect("the header is text").to_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}
