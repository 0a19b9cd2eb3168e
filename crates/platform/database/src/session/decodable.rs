//! Finds times that Rust cannot represent before they reach a decoder, which would panic.

use sea_orm::{DbErr, QueryResult};
use sqlx::postgres::{PgRow, PgValueFormat};
use sqlx::{Column, Row, TypeInfo, ValueRef};

use super::classify;

/// Microseconds after 2000-01-01, PostgreSQL's epoch, up to the year 262,139: `chrono` ends in 262,142, PostgreSQL in
/// 294,276 and with `infinity`.
const LAST_MICROSECOND: i64 = 8_209_000_000_000_000_000;
/// The same in days.
const LAST_DAY: i32 = 95_000_000;

/// Returns the row, or an error that names the table and the column of a time that Rust cannot represent.
pub(super) fn decodable(row: QueryResult, sql: &str) -> Result<QueryResult, DbErr> {
    match row.try_as_pg_row().and_then(undecodable) {
        None => Ok(row),
        Some(column) => Err(DbErr::Type(format!(
            "the column {column:?} of {:?} holds infinity or a time after the year 262,139, which Rust cannot represent",
            classify::label(sql).table
        ))),
    }
}

/// The first column whose value cannot be decoded.
fn undecodable(row: &PgRow) -> Option<&str> {
    let columns = row.columns().iter();
    let mut times =
        columns.filter(|column| matches!(column.type_info().name(), "TIMESTAMPTZ" | "TIMESTAMP" | "DATE"));
    times
        .find(|column| !is_decodable(row, column.ordinal()))
        .map(Column::name)
}

fn is_decodable(row: &PgRow, column: usize) -> bool {
    let Ok(value) = row.try_get_raw(column) else {
        return true;
    };
    if value.is_null() {
        return true;
    }
    match (value.format(), value.as_bytes()) {
        (PgValueFormat::Text, Ok(text)) => !text.ends_with(b"infinity"),
        (PgValueFormat::Binary, Ok(bytes)) => {
            match (<[u8; 8]>::try_from(bytes), <[u8; 4]>::try_from(bytes)) {
                (Ok(micros), _) => {
                    (-LAST_MICROSECOND..=LAST_MICROSECOND).contains(&i64::from_be_bytes(micros))
                }
                (_, Ok(days)) => (-LAST_DAY..=LAST_DAY).contains(&i32::from_be_bytes(days)),
                _ => true,
            }
        }
        _ => true,
    }
}
