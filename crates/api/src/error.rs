//! What handlers return. `berth_web::Error` has every kind of failure and the problem that the client sees for it; a type
//! of problem of the service's own, listed in `openapi.rs`, is returned as `Problem::of(&OUT_OF_STOCK).into()`.

pub use berth_web::Error as ApiError;

/// What handlers return.
pub type ApiResult<T> = Result<T, ApiError>;
