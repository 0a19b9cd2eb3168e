//! The problem of each error of a service.

use berth_service::Error;

use super::of_database;
use crate::problem::{self, Field, Problem};

/// What the client sees of an error of a service.
pub fn problem(error: &Error) -> Problem {
    match error {
        Error::NotFound => Problem::not_found(),
        Error::Validation(fields) => {
            let fields = fields
                .iter()
                .map(|field| Field::new(&*field.path, &*field.message));
            Problem::invalid_input(fields.collect())
        }
        Error::PreconditionFailed => Problem::of(&problem::PRECONDITION_FAILED),
        Error::Conflict => Problem::of(&problem::CONFLICT),
        Error::Upstream { detail, .. } => Problem::of(&problem::UPSTREAM_FAILED).detail(detail.clone()),
        Error::Database(error) => of_database(error),
    }
}
