//! Compares the statuses in an OpenAPI document with those that a running service returns.
//!
//! [`Statuses::provoke`] sends what follows from the description alone: a valid request to each operation, and for each
//! status of the platform a request that is answered with it. A service's test adds the answers that only it can cause,
//! by [`Statuses::send`] and [`Statuses::record`].

mod operation;
mod requests;
mod sample;

use std::collections::{BTreeMap, BTreeSet};

use berth_database::Outcome;
use reqwest::header::LOCATION;
use reqwest::{RequestBuilder, StatusCode};
use sea_orm::ConnectionTrait;
use serde_json::Value;
use tokio::net::TcpStream;

use self::operation::Operation;
use super::{Client, Response, TestServer};
use crate::settings::{Migrate, Settings};

/// What a description promises, and what was answered so far.
#[derive(Debug)]
pub struct Statuses {
    operations: Vec<Operation>,
    produced: BTreeSet<(String, u16)>,
    /// The addresses of resources that were made, by the path of the operations on them.
    places: BTreeMap<String, String>,
}

/// What a server is like, so that it answers with more of the statuses that any operation can be answered with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Situation {
    /// It has small limits, and demands `If-Match`.
    Usual,
    /// It admits one request of each client.
    Limited,
    /// It admits one request at a time.
    Busy,
    /// Its database has no tables.
    Unmigrated,
}

/// Who sends requests. The token of each is valid on every server of the test.
#[derive(Clone, Debug)]
pub struct Callers {
    /// The value of `Authorization` of a user who may do everything.
    pub privileged: String,
    /// The value of `Authorization` of a user without any role.
    pub ordinary: String,
}

impl Situation {
    /// All of them; the usual one must be the first.
    pub const ALL: [Self; 4] = [Self::Usual, Self::Limited, Self::Busy, Self::Unmigrated];

    /// Sets what makes a server like this.
    pub fn adjust(self, settings: &mut Settings) {
        let (server, limits) = (&mut settings.server, &mut settings.rate_limit);
        match self {
            Self::Usual => {
                (server.url_limit, server.header_limit) = (requests::LIMIT, requests::LIMIT);
                (server.body_limit, server.body_timeout) = (requests::LIMIT, requests::BODY_TIMEOUT);
                server.require_if_match = true;
            }
            Self::Limited => (limits.enabled, limits.per_user, limits.per_address) = (true, 1, 1),
            Self::Busy => server.max_requests = 1,
            Self::Unmigrated => settings.startup.migrate = Migrate::Check,
        }
    }
}

impl Statuses {
    /// Those of an OpenAPI document.
    pub fn of(document: &Value) -> Self {
        Self {
            operations: operation::all(document),
            produced: BTreeSet::new(),
            places: BTreeMap::new(),
        }
    }

    /// Lets requests refer to something that no operation makes, by its list: `know("/api/v1/users", id)`.
    pub fn know(&mut self, list: &str, id: &str) {
        self.places
            .insert(format!("{list}/{{id}}"), format!("{list}/{id}"));
    }

    /// Sends a request and notes the status of its answer under an operation, as in `POST /api/v1/auth/login`.
    pub async fn send(&mut self, operation: &str, request: RequestBuilder) -> Response {
        let response = Response::to(request).await;
        self.record(operation, response.status);
        response
    }

    /// Notes the status of an answer of an operation.
    pub fn record(&mut self, operation: &str, status: StatusCode) {
        self.produced.insert((operation.to_owned(), status.as_u16()));
    }

    /// Sends to each operation what a server in this situation answers with statuses of the platform, and in the usual
    /// one what it answers with success. It deletes what can be deleted, the privileged user last.
    pub async fn provoke(&mut self, situation: Situation, server: &TestServer, callers: &Callers) {
        let client = server.client().with_authorization(Some(&callers.privileged));
        match situation {
            Situation::Usual => self.usual(server, &client, callers).await,
            Situation::Limited => {
                // The first request uses the quotas.
                let _ = client.get("/").await;
                self.valid_to_each(&client).await;
            }
            Situation::Busy => {
                let _held = self.occupy(&client).await;
                self.valid_to_each(&client).await;
            }
            Situation::Unmigrated => self.valid_to_each(&client).await,
        }
    }

    /// Checks that each promised status was answered, and each answered one is promised.
    #[track_caller]
    pub fn assert_complete(&self) {
        let promised = self.operations.iter().flat_map(Operation::promises);
        let promised: BTreeSet<_> = promised.collect();
        let missing: Vec<_> = promised.difference(&self.produced).collect();
        let unnamed: Vec<_> = self.produced.difference(&promised).collect();
        assert!(
            missing.is_empty() && unnamed.is_empty(),
            "the document names what no test produces: {missing:?}; it does not name what was answered: {unnamed:?}"
        );
    }

    /// Sends requests whose bodies do not arrive until one of them is being served: one that arrives together with the
    /// question whether the server is busy may be the one that is refused.
    async fn occupy(&self, client: &Client) -> Vec<TcpStream> {
        let mut pending = Vec::new();
        let Some(operation) = self.operations.iter().find(|operation| operation.has_body()) else {
            return pending;
        };
        berth_testkit::eventually(async || {
            pending.push(requests::pending(operation, client).await);
            client.get("/").await.status == StatusCode::SERVICE_UNAVAILABLE
        })
        .await;
        pending
    }

    async fn usual(&mut self, server: &TestServer, client: &Client, callers: &Callers) {
        let ordinary = client.clone().with_authorization(Some(&callers.ordinary));
        // Before a user exists who could log in.
        self.each(|operation, places| requests::unauthenticated(operation, client, places))
            .await;
        self.succeed(client).await;
        self.each(|operation, places| requests::forbidden(operation, &ordinary, places))
            .await;
        for refused in requests::REFUSED {
            self.each(|operation, places| refused(operation, client, places))
                .await;
        }
        self.too_slow(client).await;
        self.delete(client).await;
        // Of a user who is gone.
        self.valid_to_each(client).await;
        self.with_key(server, client).await;
    }

    /// Sends a valid request to each operation.
    async fn valid_to_each(&mut self, client: &Client) {
        self.each(|operation, places| Some(requests::valid(operation, client, places)))
            .await;
    }

    /// Sends a request to each operation for which one is made.
    async fn each(
        &mut self,
        request: impl Fn(&Operation, &BTreeMap<String, String>) -> Option<RequestBuilder>,
    ) {
        for operation in self.operations.clone() {
            let operation = operation.referring(&self.places);
            if let Some(request) = request(&operation, &self.places) {
                self.answer(&operation, request).await;
            }
        }
    }

    /// Sends a request. The body of the answer, which may not end, is not read.
    async fn answer(&mut self, operation: &Operation, request: RequestBuilder) -> StatusCode {
        let response = request.send().await.expect("the server answers");
        let status = response.status();
        self.record(&operation.name(), status);
        let place = response
            .headers()
            .get(LOCATION)
            .and_then(|place| place.to_str().ok());
        let of_one = self
            .operations
            .iter()
            .find(|other| other.is_of_one_made_by(operation));
        if let (StatusCode::CREATED, Some(place), Some(of_one)) = (status, place, of_one) {
            self.places.insert(of_one.path.clone(), place.to_owned());
        }
        status
    }

    /// Sends a valid request to each operation that deletes nothing, until no more of them succeed: some need what others
    /// make.
    async fn succeed(&mut self, client: &Client) {
        loop {
            let before = self.produced.len();
            for operation in self.operations.clone() {
                let is_due = !operation.deletes() && !self.has_succeeded(&operation);
                if is_due && operation.is_reachable(&self.places) {
                    let operation = operation.referring(&self.places);
                    let request = requests::valid(&operation, client, &self.places);
                    self.answer(&operation, request).await;
                }
            }
            if self.produced.len() == before {
                return;
            }
        }
    }

    fn has_succeeded(&self, operation: &Operation) -> bool {
        let mut statuses = self.produced.iter().filter(|(name, _)| *name == operation.name());
        statuses.any(|(_, status)| *status < 300)
    }

    async fn too_slow(&mut self, client: &Client) {
        let slow = self.operations.iter().filter(|operation| operation.has_body());
        let slow = slow.map(async |operation| (operation.name(), requests::slow(operation, client).await));
        for (name, status) in futures_util::future::join_all(slow).await {
            self.record(&name, status);
        }
    }

    /// Deletes what was made, the parts of a thing before it.
    async fn delete(&mut self, client: &Client) {
        let mut deleting: Vec<_> = self.operations.clone();
        deleting.retain(|operation| operation.deletes() && operation.is_reachable(&self.places));
        let depth = |operation: &Operation| operation.path.matches('/').count();
        deleting.sort_by_key(|operation| std::cmp::Reverse(depth(operation)));
        for mut equal in deleting
            .chunk_by(|one, other| depth(one) == depth(other))
            .map(<[_]>::to_vec)
        {
            // What others refer to goes after them.
            let mut before = usize::MAX;
            while equal.len() < before {
                before = equal.len();
                for operation in std::mem::take(&mut equal) {
                    let request = requests::valid(&operation, client, &self.places);
                    if self.answer(&operation, request).await == StatusCode::CONFLICT {
                        equal.push(operation);
                    }
                }
            }
        }
    }

    /// Sends each request that may have a key twice with it, the second time as another one, and a third time while the
    /// first one seems to run.
    async fn with_key(&mut self, server: &TestServer, client: &Client) {
        let keyed: Vec<_> = self
            .operations
            .iter()
            .filter(|operation| operation.is_keyed())
            .cloned()
            .collect();
        for operation in &keyed {
            for query in ["", "?another-request"] {
                self.answer(operation, requests::with_key(operation, client, query))
                    .await;
            }
        }
        let session = server.database().background("statuses");
        let unanswered = session
            .execute_unprepared("UPDATE idempotency_keys SET status = NULL")
            .await;
        unanswered.expect("the keys are stored");
        session.end(Outcome::Commit).await.expect("the change is stored");
        for operation in &keyed {
            self.answer(operation, requests::with_key(operation, client, ""))
                .await;
        }
    }
}
