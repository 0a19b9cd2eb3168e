//! Responses shared by handlers: lists, created resources, streams.

mod versioned;

use std::convert::Infallible;
use std::error::Error;
use std::fmt::Display;

use actix_web::http::header::LOCATION;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use berth_service::{Page, PageRequest};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;
use utoipa::{IntoParams, ToSchema};

pub use self::versioned::Versioned;
use crate::Problem;
use crate::error::with_causes;

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The largest number of items on the page.
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u64>,
    /// Where the page begins: the `cursor` of the previous page's `next`.
    #[param(pattern = "^[0-9a-f]{32}$")]
    pub cursor: Option<String>,
}

/// One page of a list, and the address of the next.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listing<T> {
    items: Vec<T>,
    /// The address of the next page; null on the last.
    #[schema(example = "/api/v1/things?limit=20&cursor=0198f2f1")]
    next: Option<String>,
}

impl<T> Listing<T> {
    /// The rows as clients see them, and the address of the next page: the request's, with another cursor.
    pub fn new<M>(page: Page<M>, request: &HttpRequest) -> Self
    where
        T: From<M>,
    {
        let next = page.next.map(|cursor| {
            let start = format!("{}?", request.path());
            let mut query = form_urlencoded::Serializer::for_suffix(start.clone(), start.len());
            let given = form_urlencoded::parse(request.query_string().as_bytes());
            query.extend_pairs(given.filter(|(name, _)| name != "cursor"));
            query.append_pair("cursor", &cursor).finish()
        });
        Self {
            items: page.items.into_iter().map(T::from).collect(),
            next,
        }
    }
}

impl From<PageQuery> for PageRequest {
    fn from(query: PageQuery) -> Self {
        Self {
            limit: query.limit,
            cursor: query.cursor,
        }
    }
}

/// The address of a resource that this request, which was sent to their list, has made.
pub fn location(request: &HttpRequest, id: impl Display) -> String {
    format!("{}/{id}", request.path())
}

/// 201 with the address of the new resource.
pub fn created(location: &str, body: &impl Serialize) -> HttpResponse {
    HttpResponse::Created()
        .insert_header((LOCATION, location))
        .json(body)
}

/// The most rows that are written at once.
const CHUNK: usize = 100;

/// A body of newline-delimited JSON, one row a line, written while the rows arrive.
///
/// The status is sent before the first row. A later failure is logged, and its problem is the last line, as
/// `{"problem": {...}}`, so that a client can tell an incomplete body from a complete one.
pub fn ndjson<T, E>(
    rows: impl Stream<Item = Result<T, E>> + 'static,
    problem: fn(&E) -> Problem,
) -> HttpResponse
where
    T: Serialize + 'static,
    E: Error + 'static,
{
    let lines = rows.ready_chunks(CHUNK).map(move |rows| {
        let mut text = Vec::new();
        for row in rows {
            // Writing into memory cannot fail.
            let _ = match row {
                Ok(row) => serde_json::to_writer(&mut text, &row),
                Err(error) => {
                    tracing::error!(error = with_causes(&error), "streamed answer failed");
                    serde_json::to_writer(&mut text, &serde_json::json!({ "problem": problem(&error) }))
                }
            };
            text.push(b'\n');
        }
        Ok::<_, Infallible>(Bytes::from(text))
    });
    HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .streaming(lines)
}
