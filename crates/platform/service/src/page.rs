//! Pages of a list by key (keyset pagination), which stay stable while rows come and go.
//!
//! A page starts after the key of the last row of the previous page. Rows that are added or removed elsewhere do not
//! shift it, and a late page costs no more than the first.

use berth_database::Session;
use sea_orm::{Cursor, FromQueryResult, SelectModel};
use uuid::Uuid;

use crate::Error;

const DEFAULT_LIMIT: u64 = 20;
const MAX_LIMIT: u64 = 100;

/// The part of a list that a caller asks for.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// The most rows to return: 1 to 100, by default 20.
    pub limit: Option<u64>,
    /// [`Page::next`] of the previous page; `None` for the first page.
    pub cursor: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows, in order.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` on the last page.
    pub next: Option<String>,
}

impl PageRequest {
    /// Reads the page from rows that are ordered by the key that `key` returns.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] for the limit and the cursor.
    pub async fn read<M>(
        &self,
        mut rows: Cursor<SelectModel<M>>,
        session: &Session,
        key: impl Fn(&M) -> Uuid,
    ) -> Result<Page<M>, Error>
    where
        M: FromQueryResult + Send + Sync + Sized,
    {
        if let Some(cursor) = &self.cursor {
            rows.after(decode(cursor)?);
        }
        self.read_by(rows, session, |row| encode(key(row))).await
    }

    /// Reads the rows of a page; `cursor` is what comes after a row.
    pub(crate) async fn read_by<M>(
        &self,
        mut rows: Cursor<SelectModel<M>>,
        session: &Session,
        cursor: impl Fn(&M) -> String,
    ) -> Result<Page<M>, Error>
    where
        M: FromQueryResult + Send + Sync + Sized,
    {
        let limit = self.validated_limit()?;
        // One row more than asked for shows whether a next page exists.
        let mut items = rows.first(limit + 1).all(session).await?;
        let more = items.len() as u64 > limit;
        items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = items.last().filter(|_| more).map(cursor);
        Ok(Page { items, next })
    }

    fn validated_limit(&self) -> Result<u64, Error> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        match (1..=MAX_LIMIT).contains(&limit) {
            true => Ok(limit),
            false => Err(Error::invalid("limit", format!("must be from 1 to {MAX_LIMIT}"))),
        }
    }
}

fn encode(key: Uuid) -> String {
    key.simple().to_string()
}

fn decode(cursor: &str) -> Result<Uuid, Error> {
    let key = Uuid::try_parse(cursor).ok().filter(|key| encode(*key) == cursor);
    key.ok_or_else(|| Error::invalid("cursor", "must be the cursor of the previous page, unchanged"))
}
