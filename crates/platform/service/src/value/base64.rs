//! Bytes, which JSON has as text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sea_orm::DeriveValueType;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes in a column, and in JSON as Base64 with padding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, DeriveValueType)]
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text);
        bytes.map(Self).map_err(|_| D::Error::custom("must be Base64"))
    }
}
