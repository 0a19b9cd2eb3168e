//! Reads server-sent events.

use std::time::Duration;

use serde_json::Value;

/// An event as a browser would dispatch it.
#[derive(Clone, Debug)]
pub struct ReceivedEvent {
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Its kind.
    pub kind: String,
    /// Its data.
    pub data: Value,
}

/// The body of an answer of server-sent events.
#[derive(Debug)]
pub struct EventReader {
    response: reqwest::Response,
    text: String,
}

impl EventReader {
    /// Sends a request, and checks that the answer is a stream of events and has begun.
    pub async fn open(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("the server answers");
        assert_eq!(response.status(), 200, "{:?}", response.text().await);
        let media_type = response.headers().get("content-type");
        assert_eq!(media_type.expect("a content type"), "text/event-stream");
        Self {
            response,
            text: String::new(),
        }
    }

    /// Waits for the next event; returns none at the end of the stream. Comments are skipped.
    ///
    /// # Panics
    ///
    /// After 20 seconds without either.
    #[track_caller]
    pub fn next_event(&mut self) -> impl Future<Output = Option<ReceivedEvent>> {
        let place = std::panic::Location::caller();
        async move {
            let next = tokio::time::timeout(Duration::from_secs(20), self.read()).await;
            next.unwrap_or_else(|_| panic!("no event and no end, at {place}"))
        }
    }

    async fn read(&mut self) -> Option<ReceivedEvent> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let mut lines = block.lines();
                    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
                };
                if let Some(data) = field("data") {
                    return Some(ReceivedEvent {
                        id: field("id"),
                        kind: field("event").unwrap_or_default(),
                        data: serde_json::from_str(&data).expect("the data is JSON"),
                    });
                }
            }
            // A connection that the server closes in the middle of the body is an end too.
            let chunk = self.response.chunk().await.ok().flatten()?;
            self.text
                .push_str(std::str::from_utf8(&chunk).expect("events are text"));
        }
    }
}
