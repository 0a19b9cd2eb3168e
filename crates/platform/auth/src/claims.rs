//! The claims of a token.

use std::fmt;

use serde_json::{Map, Value};

use crate::TokenError;

/// The claims of a verified token. They are personal data: `Debug` shows their names only.
#[derive(Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

/// The sender of a request, by a verified token alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    issuer: String,
    subject: String,
    claims: Claims,
}

impl Claims {
    /// One claim.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// One claim that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// All claims, for `request.jwt.claims`.
    pub fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

impl Identity {
    pub(crate) fn of(claims: Map<String, Value>) -> Result<Self, TokenError> {
        let claims = Claims(claims);
        let text = |name| {
            claims
                .text(name)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let (issuer, subject) = (text("iss"), text("sub"));
        Ok(Self {
            issuer: issuer.ok_or(TokenError::Malformed)?,
            subject: subject.ok_or(TokenError::Malformed)?,
            claims,
        })
    }

    /// Who made the token.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whom the issuer means: unique for each issuer.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Everything that the token says.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The claim `role`: for guards of routes, and the database role where row-level security is on.
    pub fn role(&self) -> Option<&str> {
        self.claims.text("role")
    }

    /// The claim `scope` (RFC 8693), or `scp` as some issuers call it.
    pub fn scopes(&self) -> Vec<&str> {
        match self.claims.get("scope").or_else(|| self.claims.get("scp")) {
            Some(Value::String(text)) => text.split_ascii_whitespace().collect(),
            Some(Value::Array(scopes)) => scopes.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
