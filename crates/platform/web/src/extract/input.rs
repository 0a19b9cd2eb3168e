//! Input as clients send it, read into types: the tree of a body or a query, and the path of what does not fit.
//!
//! serde's derived types also accept an array for an object, and its messages name Rust types. This deserializer accepts
//! objects only, knows the path of each value, also of a missing one, and words what does not fit for a client.

mod deserializer;
mod error;
mod tree;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _};

use self::deserializer::{Nulls, Reader};
pub use self::error::InputError;
use self::tree::{Depth, Node};
use crate::error::RequestError;

/// Reads a body of JSON.
pub(super) fn json<T: DeserializeOwned>(body: &[u8], depth: usize) -> Result<T, RequestError> {
    Ok(T::deserialize(Reader::new(&tree(body, depth)?))?)
}

/// Reads the fields of a change: at least one, and null only for a field that is declared as [`nullable`](berth_service::nullable).
pub(super) fn patch<T: DeserializeOwned>(body: &[u8], depth: usize) -> Result<T, RequestError> {
    let tree = tree(body, depth)?;
    if matches!(&tree, Node::Object(fields) if fields.is_empty()) {
        return Err(InputError::custom("must contain at least one field to change").into());
    }
    Ok(T::deserialize(Reader::with(&tree, Nulls::RefusedInFields))?)
}

/// Reads a query.
pub(super) fn query<T: DeserializeOwned>(query: &str) -> Result<T, RequestError> {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let fields = pairs.map(|(name, value)| (name.into_owned(), Node::Text(value.into_owned())));
    let tree = Node::Object(fields.collect());
    Ok(T::deserialize(Reader::new(&tree))?)
}

fn tree(body: &[u8], depth: usize) -> Result<Node, RequestError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let tree = Depth(depth)
        .deserialize(&mut json)
        .map_err(|error| match error.is_data() {
            true => RequestError::TooDeep { limit: depth },
            false => RequestError::Syntax(error),
        })?;
    json.end().map_err(RequestError::Syntax)?;
    Ok(tree)
}
