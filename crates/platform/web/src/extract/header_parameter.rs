//! Request headers in the OpenAPI document.

use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type};

use super::{IfMatch, IfNoneMatch};

/// A header that an operation takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderParameter {
    pub(crate) name: &'static str,
    description: &'static str,
    pattern: Option<&'static str>,
}

pub(crate) const IDEMPOTENCY_KEY: HeaderParameter = HeaderParameter {
    name: "idempotency-key",
    description: "A unique key for each request. A retry with the same key gets the first response and is not \
        processed again.",
    pattern: Some("^[!-~]{1,255}$"),
};

pub(crate) const IF_MATCH: HeaderParameter = HeaderParameter {
    name: "if-match",
    description: "The `ETag` of the version to change. Without it any version is changed.",
    pattern: None,
};

pub(crate) const IF_NONE_MATCH: HeaderParameter = HeaderParameter {
    name: "if-none-match",
    description: "The `ETag` that the client has. If it is current, the response is 304 without a body.",
    pattern: None,
};

pub(crate) const LAST_EVENT_ID: HeaderParameter = HeaderParameter {
    name: "last-event-id",
    description: "The id of the last event that the client has. Later ones are sent first.",
    pattern: Some("^[0-9a-fA-F-]{32,36}$"),
};

impl HeaderParameter {
    pub(crate) fn describe(self) -> Parameter {
        ParameterBuilder::new()
            .name(self.name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(self.description))
            .schema(Some(
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .pattern(self.pattern),
            ))
            .build()
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![IF_MATCH.describe()]
    }
}

impl IntoParams for IfNoneMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![IF_NONE_MATCH.describe()]
    }
}
