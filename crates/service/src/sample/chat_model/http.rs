//! A chat model behind an API of the `chat/completions` form, which OpenAI and most others speak.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_stream::try_stream;
use async_trait::async_trait;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use sea_orm::ActiveEnum;
use serde_json::{Value, json};

use super::{ChatMessage, ChatModel, ChatModelError, Parts};

/// The most bytes of a response that are read.
const MAX_RESPONSE: usize = 1 << 20;

/// How to reach the API.
#[derive(Clone)]
pub struct ChatModelSettings {
    /// The base URL, without `/chat/completions`: `https://api.example.com/v1`.
    pub url: String,
    /// The key, sent as a bearer token.
    pub key: Option<String>,
    /// The name of the model.
    pub model: String,
    /// The time for one answer, connecting included.
    pub timeout: Duration,
}

/// Asks an API over HTTP. Connections to the API are kept and shared.
#[derive(Clone)]
pub struct HttpChatModel {
    client: Client,
    endpoint: Url,
    settings: ChatModelSettings,
    headers: Arc<Headers>,
}

/// In which form the API is to reply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    Parts,
}

type Headers = dyn Fn() -> Vec<(String, String)> + Send + Sync;

impl HttpChatModel {
    /// Makes the client; it connects at the first question.
    ///
    /// # Errors
    ///
    /// [`ChatModelError::Settings`] for a URL or key that is not usable.
    pub fn new(settings: ChatModelSettings) -> Result<Self, ChatModelError> {
        // Fails where the process has installed a provider already, which serves as well.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(settings.timeout)
            // A redirect would send the conversation, and perhaps the key, to a host that is not configured.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| ChatModelError::Settings(error.without_url().to_string()))?;
        let endpoint = endpoint(&settings.url)?;
        check_key(settings.key.as_deref())?;
        Ok(HttpChatModel {
            client,
            endpoint,
            settings,
            headers: Arc::new(Vec::new),
        })
    }

    /// Adds headers to each request. The function runs in the task that sends the request, so it can return the
    /// `traceparent` of the current span.
    pub fn with_headers(self, headers: impl Fn() -> Vec<(String, String)> + Send + Sync + 'static) -> Self {
        HttpChatModel {
            headers: Arc::new(headers),
            ..self
        }
    }

    fn request(&self, history: &[ChatMessage], form: Form) -> RequestBuilder {
        let message =
            |message: &ChatMessage| json!({ "role": message.role.to_value(), "content": message.body });
        let messages: Vec<Value> = history.iter().map(message).collect();
        let mut body = json!({ "model": self.settings.model, "messages": messages });
        if form == Form::Parts {
            body["stream"] = true.into();
        }
        let mut request = self.client.post(self.endpoint.clone()).json(&body);
        for (name, value) in (self.headers)() {
            request = request.header(name, value);
        }
        match &self.settings.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    async fn ask(&self, history: &[ChatMessage], form: Form) -> Result<Response, ChatModelError> {
        let response = self.request(history, form).send().await;
        let response = response.map_err(|error| self.failed(error))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(ChatModelError::Status {
                status: status.as_u16(),
            }),
        }
    }

    async fn read_body(&self, mut response: Response) -> Result<Vec<u8>, ChatModelError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_RESPONSE {
                return Err(too_long());
            }
        }
        Ok(body)
    }

    fn failed(&self, error: reqwest::Error) -> ChatModelError {
        match error.is_timeout() {
            true => ChatModelError::Timeout(self.settings.timeout),
            false => ChatModelError::Unreachable(Box::new(error.without_url())),
        }
    }
}

#[async_trait]
impl ChatModel for HttpChatModel {
    async fn reply(&self, history: &[ChatMessage]) -> Result<String, ChatModelError> {
        let response = self.ask(history, Form::Whole).await?;
        whole(&self.read_body(response).await?)
    }

    fn reply_in_parts<'a>(&'a self, history: &'a [ChatMessage]) -> Parts<'a> {
        Box::pin(try_stream! {
            let mut response = self.ask(history, Form::Parts).await?;
            if !is_event_stream(&response) {
                // The API knows one form only.
                yield whole(&self.read_body(response).await?)?;
                return;
            }
            let (mut unread, mut size, mut ended) = (Vec::new(), 0, false);
            while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error))? {
                size += chunk.len();
                if size > MAX_RESPONSE {
                    Err(too_long())?;
                }
                unread.extend_from_slice(&chunk);
                while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = unread.drain(..=end).collect();
                    let part = part(&line)?;
                    ended |= part.is_last;
                    if let Some(text) = part.text {
                        yield text;
                    }
                }
            }
            if !ended {
                Err(ChatModelError::Malformed("the reply is cut off".to_owned()))?;
            }
        })
    }
}

fn is_event_stream(response: &Response) -> bool {
    let media_type = response.headers().get(CONTENT_TYPE);
    media_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

fn whole(body: &[u8]) -> Result<String, ChatModelError> {
    let completion: Value = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    match completion.pointer("/choices/0/message/content") {
        Some(Value::String(content)) if !content.is_empty() => Ok(content.clone()),
        _ => Err(ChatModelError::Malformed("no choice with content".to_owned())),
    }
}

/// What one line of a reply in parts says.
struct Part {
    text: Option<String>,
    is_last: bool,
}

fn part(line: &[u8]) -> Result<Part, ChatModelError> {
    let data = line.strip_prefix(b"data:").unwrap_or_default().trim_ascii();
    let is_last = data == b"[DONE]";
    let chunk: Value = match data {
        [] | b"[DONE]" => Value::Null,
        data => serde_json::from_slice(data).map_err(|error| malformed(&error))?,
    };
    let text = chunk.pointer("/choices/0/delta/content").and_then(Value::as_str);
    Ok(Part {
        text: text.filter(|text| !text.is_empty()).map(str::to_owned),
        is_last: is_last
            || chunk
                .pointer("/choices/0/finish_reason")
                .is_some_and(Value::is_string),
    })
}

fn too_long() -> ChatModelError {
    ChatModelError::Malformed(format!("more than {MAX_RESPONSE} bytes"))
}

impl fmt::Debug for HttpChatModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpChatModel")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ChatModelSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatModelSettings")
            .field("model", &self.model)
            .field("key", &self.key.as_ref().map(|_| "***"))
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn endpoint(url: &str) -> Result<Url, ChatModelError> {
    let rule =
        || ChatModelError::Settings("the URL must begin with http:// or https:// and name a host".to_owned());
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

/// Refuses a key that no header can carry, which would otherwise fail at the first question.
fn check_key(key: Option<&str>) -> Result<(), ChatModelError> {
    let visible = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
    match key {
        Some(key) if !visible(key) => Err(ChatModelError::Settings(
            "the key must be visible ASCII characters without spaces".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Keeps the position of serde's error, but not its text, which may quote the response.
fn malformed(error: &serde_json::Error) -> ChatModelError {
    let (line, column) = (error.line(), error.column());
    ChatModelError::Malformed(format!("not JSON (line {line}, column {column})"))
}
