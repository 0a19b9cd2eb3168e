//! A list of values in one column.

use sea_orm::TryGetableFromJson;
use sea_orm::sea_query::{ArrayType, ColumnType, Nullable, Value, ValueType, ValueTypeErr};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A list of values in a column of type `JsonBinary`, on both databases; PostgreSQL searches it with `@>` and a GIN index.
///
/// SQLite has no arrays, so a column of PostgreSQL's type would need another entity there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct List<T>(pub Vec<T>);

impl<T> From<Vec<T>> for List<T> {
    fn from(values: Vec<T>) -> Self {
        Self(values)
    }
}

impl<T> From<List<T>> for Vec<T> {
    fn from(list: List<T>) -> Self {
        list.0
    }
}

impl<T: Serialize> From<List<T>> for Value {
    fn from(list: List<T>) -> Self {
        // What a column may contain can be written as JSON.
        Value::Json(serde_json::to_value(&list.0).ok().map(Into::into))
    }
}

impl<T: DeserializeOwned> TryGetableFromJson for List<T> {}

impl<T: DeserializeOwned + Serialize> ValueType for List<T> {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        match value {
            Value::Json(Some(json)) => serde_json::from_value(*json).map_err(|_| ValueTypeErr),
            _ => Err(ValueTypeErr),
        }
    }

    fn type_name() -> String {
        "List".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::Json
    }

    fn column_type() -> ColumnType {
        ColumnType::JsonBinary
    }
}

impl<T> Nullable for List<T> {
    fn null() -> Value {
        Value::Json(None)
    }
}
