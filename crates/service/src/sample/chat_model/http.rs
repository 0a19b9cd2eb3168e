//! Asks an API that speaks OpenAI's `chat/completions` form, as most of them do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use entity::sample::message::Role;
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use serde::{Deserialize, Serialize};

use super::{Responder, ResponderError, Turn};

/// How many bytes an answer may have.
const LARGEST_ANSWER: usize = 1 << 20;

/// How to reach the API.
#[derive(Clone)]
pub struct ResponderSettings {
    /// Where it is, without the `/chat/completions`: `https://api.example.com/v1`.
    pub url: String,
    /// What it knows us by, sent as a bearer token.
    pub key: Option<String>,
    /// The model that answers.
    pub model: String,
    /// How long one answer may take, connecting included.
    pub timeout: Duration,
}

/// Asks over HTTP. Connections to the API are kept and shared.
#[derive(Clone)]
pub struct HttpResponder {
    client: Client,
    endpoint: Url,
    settings: ResponderSettings,
    headers: Arc<Headers>,
}

type Headers = dyn Fn() -> Vec<(String, String)> + Send + Sync;

impl HttpResponder {
    /// Prepares for asking; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`ResponderError::Settings`] for an address or key that cannot be used.
    pub fn new(settings: ResponderSettings) -> Result<Self, ResponderError> {
        // Whoever was first to choose the process's cryptography has chosen; this only sees to a choice.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(settings.timeout)
            // A redirect would carry the conversation, and perhaps the key, to somebody nobody named.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| ResponderError::Settings(error.without_url().to_string()))?;
        let endpoint = endpoint(&settings.url)?;
        check_key(settings.key.as_deref())?;
        Ok(HttpResponder {
            client,
            endpoint,
            settings,
            headers: Arc::new(Vec::new),
        })
    }

    /// Adds headers to each request, from a function that is called in the task that asks.
    ///
    /// This is where a trace goes on: the function may look at the current span and return its `traceparent`.
    pub fn with_headers(self, headers: impl Fn() -> Vec<(String, String)> + Send + Sync + 'static) -> Self {
        HttpResponder {
            headers: Arc::new(headers),
            ..self
        }
    }

    fn request(&self, history: &[Turn]) -> RequestBuilder {
        let messages = history.iter().map(|turn| Message {
            role: role(turn.role),
            content: &turn.body,
        });
        let body = Question {
            model: &self.settings.model,
            messages: messages.collect(),
        };
        let mut request = self.client.post(self.endpoint.clone()).json(&body);
        for (name, value) in (self.headers)() {
            request = request.header(name, value);
        }
        match &self.settings.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    fn failed(&self, error: reqwest::Error) -> ResponderError {
        match error.is_timeout() {
            true => ResponderError::TimedOut(self.settings.timeout),
            false => ResponderError::Unreachable(Box::new(error.without_url())),
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, ResponderError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error))? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST_ANSWER {
                return Err(ResponderError::Malformed(format!(
                    "more than {LARGEST_ANSWER} bytes"
                )));
            }
        }
        Ok(body)
    }
}

#[async_trait]
impl Responder for HttpResponder {
    async fn answer(&self, history: &[Turn]) -> Result<String, ResponderError> {
        let response = self
            .request(history)
            .send()
            .await
            .map_err(|error| self.failed(error))?;
        if !response.status().is_success() {
            return Err(ResponderError::Refused {
                status: response.status().as_u16(),
            });
        }
        let body = self.body(response).await?;
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| malformed(&error))?;
        let content = answer
            .choices
            .into_iter()
            .next()
            .and_then(|choice| choice.message.content);
        content
            .filter(|content| !content.is_empty())
            .ok_or_else(|| ResponderError::Malformed("no choice with content".to_owned()))
    }
}

impl fmt::Debug for HttpResponder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ResponderSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponderSettings")
            .field("model", &self.model)
            .field("key", &self.key.as_ref().map(|_| "***"))
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Content,
}

#[derive(Deserialize)]
struct Content {
    content: Option<String>,
}

fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::System => "system",
    }
}

fn endpoint(url: &str) -> Result<Url, ResponderError> {
    let rule =
        || ResponderError::Settings("the URL must begin with http:// or https:// and name a host".to_owned());
    let mut endpoint = Url::parse(url).map_err(|_| rule())?;
    if !matches!(endpoint.scheme(), "http" | "https") {
        return Err(rule());
    }
    endpoint
        .path_segments_mut()
        .map_err(|()| rule())?
        .pop_if_empty()
        .extend(["chat", "completions"]);
    Ok(endpoint)
}

/// A key that no header can carry would otherwise fail at the first question.
fn check_key(key: Option<&str>) -> Result<(), ResponderError> {
    let visible = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
    match key {
        Some(key) if !visible(key) => Err(ResponderError::Settings(
            "the key must be visible ASCII characters without spaces".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// serde's position and kind without its text, which may quote the answer.
fn malformed(error: &serde_json::Error) -> ResponderError {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "JSON of another form",
        _ => "no JSON",
    };
    ResponderError::Malformed(format!(
        "{kind} (line {}, column {})",
        error.line(),
        error.column()
    ))
}
