//! Somebody whom the service speaks to: remembers what it was sent, and always answers the same.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Speaks just enough HTTP for requests that tell their length.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    pub(crate) async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let peer = Self {
            url: format!("http://{address}"),
            heard: Arc::default(),
        };
        let hearing = peer.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(hearing.clone().serve(stream, answer));
            }
        });
        peer
    }

    /// Every request so far, head and body.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn serve(self, mut stream: TcpStream, answer: &'static str) {
        let Some(request) = read(&mut stream).await else {
            return;
        };
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
        let length = answer.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        // Whoever asked may have left.
        let _ = stream.write_all(format!("{head}{answer}").as_bytes()).await;
    }
}

/// A whole request; none where the line breaks off.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let mut part = [0; 16 * 1024];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => request.extend_from_slice(&part[..length]),
        }
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            return Some(text.into_owned());
        }
    }
}
