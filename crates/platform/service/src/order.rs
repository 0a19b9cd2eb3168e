//! Pages of lists that are not ordered by key.

use berth_database::Session;
use chrono::{DateTime, Utc};
use sea_orm::sea_query::{ColumnType, IntoValueTuple, Value};
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, ModelTrait, Select, SelectModel};
use uuid::Uuid;

use crate::{Error, Page, PageRequest};

/// The order of a list, by a column of times or whole numbers and then by key, so that rows of one value have an order too.
///
/// The column needs an index with the key, as in `(owner_id, updated_at, id)`; texts have none, since their order depends
/// on the database. A service offers a closed list of orders, and maps each to a column.
#[derive(Clone, Copy, Debug)]
pub struct Order<C> {
    /// The column; `None` is the key itself.
    pub column: Option<C>,
    /// Which end comes first.
    pub direction: Direction,
}

/// Which end of a list comes first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// The smallest.
    Ascending,
    /// The greatest.
    Descending,
}

impl PageRequest {
    /// Reads the page in an order. The cursor holds the last row's value and key, so that the list stays stable while
    /// rows come and go; a row whose value changes moves.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] for the limit and the cursor.
    pub async fn read_ordered<E>(
        &self,
        rows: Select<E>,
        order: Order<E::Column>,
        key: E::Column,
        session: &Session,
    ) -> Result<Page<E::Model>, Error>
    where
        E: EntityTrait,
        E::Model: ModelTrait<Entity = E> + FromQueryResult + Send + Sync,
    {
        let after = self.cursor.as_deref().map(decode).transpose()?;
        let last = |row: &E::Model| {
            let value = order.column.map_or(0, |column| number(&row.get(column)));
            match row.get(key) {
                Value::Uuid(Some(key)) => encode(value, key),
                _ => String::new(),
            }
        };
        match order.column {
            None => {
                let rows = rows.cursor_by(key);
                self.page_of(rows, after.map(|(_, key)| key), order.direction, session, last)
                    .await
            }
            Some(column) => {
                let after = after.map(|(value, key)| (of_column(column, value), Value::from(key)));
                let rows = rows.cursor_by((column, key));
                self.page_of(rows, after, order.direction, session, last).await
            }
        }
    }

    async fn page_of<M>(
        &self,
        mut rows: sea_orm::Cursor<SelectModel<M>>,
        after: Option<impl IntoValueTuple>,
        direction: Direction,
        session: &Session,
        cursor: impl Fn(&M) -> String,
    ) -> Result<Page<M>, Error>
    where
        M: FromQueryResult + Send + Sync,
    {
        if direction == Direction::Descending {
            rows.desc();
        }
        if let Some(after) = after {
            rows.after(after);
        }
        self.read_by(rows, session, cursor).await
    }
}

/// The value as a number: of a time, its microseconds.
fn number(value: &Value) -> i64 {
    match value {
        Value::ChronoDateTimeUtc(Some(time)) => time.timestamp_micros(),
        Value::Int(Some(number)) => (*number).into(),
        Value::BigInt(Some(number)) => *number,
        _ => 0,
    }
}

fn of_column(column: impl ColumnTrait, value: i64) -> Value {
    match column.def().get_column_type() {
        ColumnType::TimestampWithTimeZone | ColumnType::Timestamp | ColumnType::DateTime => {
            // Years that both databases know; a cursor is text of a client.
            let most = 250_000_000_000_000_000;
            DateTime::<Utc>::from_timestamp_micros(value.clamp(-most / 5, most)).into()
        }
        _ => value.into(),
    }
}

/// 16 digits of the value and 32 of the key.
fn encode(value: i64, key: Uuid) -> String {
    format!("{value:016x}{}", key.simple())
}

fn decode(cursor: &str) -> Result<(i64, Uuid), Error> {
    let parsed = cursor.split_at_checked(16).and_then(|(value, key)| {
        let value = u64::from_str_radix(value, 16).ok()?.cast_signed();
        let key = Uuid::try_parse(key).ok()?;
        Some((value, key)).filter(|(value, key)| encode(*value, *key) == cursor)
    });
    parsed.ok_or_else(|| Error::invalid("cursor", "must be the cursor of the previous page, unchanged"))
}
