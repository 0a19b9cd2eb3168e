//! A chat model's API that answers when the test says so.

use std::sync::Arc;

use api::settings::Settings;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};

/// A server that speaks enough HTTP for one question at a time.
#[derive(Clone, Debug)]
pub(crate) struct ChatModel {
    url: String,
    questions: Arc<Mutex<mpsc::Receiver<TcpStream>>>,
    asked: Arc<Mutex<Option<TcpStream>>>,
}

impl ChatModel {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("http://{}/v1", listener.local_addr().expect("it has an address"));
        let (sender, questions) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                read(&mut stream).await;
                if sender.send(stream).await.is_err() {
                    return;
                }
            }
        });
        Self {
            url,
            questions: Arc::new(Mutex::new(questions)),
            asked: Arc::default(),
        }
    }

    pub(crate) fn set(&self, settings: &mut Settings) {
        settings.chat_model.url = Some(self.url.clone());
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Waits until a question has arrived in full.
    pub(crate) async fn asked(&self) {
        let stream = self.questions.lock().await.recv().await;
        *self.asked.lock().await = stream;
    }

    /// Waits until another question has arrived, and forgets it.
    pub(crate) async fn asked_again(&self) {
        self.questions.lock().await.recv().await;
    }

    pub(crate) async fn answer(&self, text: &str) {
        let body = json!({ "choices": [{ "message": { "role": "assistant", "content": text } }] });
        self.respond("200 OK", &body).await;
    }

    pub(crate) async fn fail(&self) {
        self.respond("500 Internal Server Error", &Value::Null).await;
    }

    /// Waits until the client of the question has disconnected.
    pub(crate) async fn client_disconnected(&self) {
        let mut stream = self.asked.lock().await.take().expect("a question was asked");
        while stream.read(&mut [0; 64]).await.is_ok_and(|length| length > 0) {}
    }

    async fn respond(&self, status: &str, body: &Value) {
        let mut stream = self.asked.lock().await.take().expect("a question was asked");
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream
            .write_all(format!("{head}{body}").as_bytes())
            .await
            .expect("the connection is open");
    }
}

/// Reads a request to the end of its body, by its content-length.
async fn read(stream: &mut TcpStream) {
    let mut text = Vec::new();
    loop {
        let mut part = [0; 4096];
        let length = stream.read(&mut part).await.unwrap_or(0);
        text.extend_from_slice(&part[..length]);
        if length == 0 || is_whole(&String::from_utf8_lossy(&text)) {
            return;
        }
    }
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    body.len() >= length.unwrap_or(0)
}
