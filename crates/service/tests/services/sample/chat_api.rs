//! A local API of the `chat/completions` form on a real socket, whose replies the test chooses.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use service::sample::{ChatModelSettings, HttpChatModel};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Listens until it is dropped. Each request gets the next reply; the last reply repeats.
pub(crate) struct ChatApi {
    port: u16,
    state: Arc<State>,
    listening: JoinHandle<()>,
}

struct State {
    replies: Mutex<VecDeque<Reply>>,
    requests: Mutex<Vec<Request>>,
    arrived: Semaphore,
    release: Semaphore,
}

/// The reply to a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// A well-formed answer with this text.
    Says(&'static str),
    /// The same, after a call of [`ChatApi::release`].
    SaysLater(&'static str),
    /// An answer with this status and body.
    Raw(u16, String),
    /// The lines of an answer in parts.
    Streams(&'static [&'static str]),
    /// None: the connection is closed after the request.
    Closed,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: serde_json::Value,
}

impl ChatApi {
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        let state = Arc::new(State {
            replies: Mutex::new(replies.into_iter().collect()),
            requests: Mutex::default(),
            arrived: Semaphore::new(0),
            release: Semaphore::new(0),
        });
        let listening = tokio::spawn(listen(listener, Arc::clone(&state)));
        ChatApi {
            port,
            state,
            listening,
        }
    }

    pub(crate) fn settings(&self) -> ChatModelSettings {
        ChatModelSettings {
            url: format!("http://127.0.0.1:{}/v1/", self.port),
            key: Some("key-to-be-hidden".to_owned()),
            model: "parrot-1".to_owned(),
            timeout: Duration::from_secs(30),
        }
    }

    pub(crate) fn chat_model(&self) -> HttpChatModel {
        HttpChatModel::new(self.settings()).expect("settings that work")
    }

    /// Waits until another request has arrived.
    pub(crate) async fn arrival(&self) {
        self.state.arrived.acquire().await.expect("never closed").forget();
    }

    /// Sends one [`Reply::SaysLater`].
    pub(crate) fn release(&self) {
        self.state.release.add_permits(1);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }
}

impl Drop for ChatApi {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|header| {
            let (found, value) = header.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Returns the roles and texts of the messages in the request.
    pub(crate) fn messages(&self) -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        let messages = self.body["messages"].as_array().expect("messages");
        messages
            .iter()
            .map(|message| (text(&message["role"]), text(&message["content"])))
            .collect()
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&state)));
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let request = read(&mut stream).await?;
    state.requests.lock().unwrap().push(request);
    let reply = {
        let mut replies = state.replies.lock().unwrap();
        if replies.len() > 1 {
            replies.pop_front()
        } else {
            replies.front().cloned()
        }
    };
    state.arrived.add_permits(1);
    let mut media_type = "application/json";
    let (status, body) = match reply? {
        Reply::Says(text) => (200, answer(text)),
        Reply::SaysLater(text) => {
            state.release.acquire().await.ok()?.forget();
            (200, answer(text))
        }
        Reply::Raw(status, body) => (status, body),
        Reply::Streams(lines) => {
            media_type = "text/event-stream";
            (
                200,
                lines.iter().map(|line| format!("data: {line}\n\n")).collect(),
            )
        }
        Reply::Closed => return None,
    };
    let head = format!(
        "HTTP/1.1 {status} status\r\ncontent-type: {media_type}\r\nlocation: http://127.0.0.1:1/\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        stream
            .read_line(&mut line)
            .await
            .ok()
            .filter(|length| *length > 0)?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let mut request = Request {
        line: head.remove(0),
        headers: head,
        body: serde_json::Value::Null,
    };
    let length = request.header("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    request.body = serde_json::from_slice(&body).ok()?;
    Some(request)
}

pub(crate) fn answer(text: &str) -> String {
    serde_json::json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "parrot-1",
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": text } }],
        "usage": { "total_tokens": 3 },
    })
    .to_string()
}
