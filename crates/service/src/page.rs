//! Lists in pages that stay stable while rows come and go.
//!
//! A page begins after the last row of the one before, by its key: a row that is added or removed
//! elsewhere shifts nothing, and a late page costs no more than the first.

use berth_database::Session;
use sea_orm::{Cursor, FromQueryResult, SelectModel};
use uuid::Uuid;

use crate::Error;

const DEFAULT_LIMIT: u64 = 20;
const LARGEST_LIMIT: u64 = 100;

/// Which part of a list.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// How many at most: 1 to 100, 20 if not said.
    pub limit: Option<u64>,
    /// Where to go on: [`Page::next`] of the page before. The beginning, if not said.
    pub cursor: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows, in order.
    pub items: Vec<T>,
    /// What asks for the next part; `None` on the last.
    pub next: Option<String>,
}

impl PageRequest {
    /// Reads the page from rows ordered by their key, which `key` names.
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
        let limit = self.checked_limit()?;
        if let Some(cursor) = &self.cursor {
            rows.after(decode(cursor)?);
        }
        // One more than asked for tells whether there is a next page.
        let mut items = rows.first(limit + 1).all(session).await?;
        let more = items.len() as u64 > limit;
        items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = items.last().filter(|_| more).map(|last| encode(key(last)));
        Ok(Page { items, next })
    }

    fn checked_limit(&self) -> Result<u64, Error> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        match (1..=LARGEST_LIMIT).contains(&limit) {
            true => Ok(limit),
            false => Err(Error::invalid(
                "limit",
                format!("must be from 1 to {LARGEST_LIMIT}"),
            )),
        }
    }
}

fn encode(key: Uuid) -> String {
    key.simple().to_string()
}

fn decode(cursor: &str) -> Result<Uuid, Error> {
    let key = Uuid::try_parse(cursor).ok().filter(|key| encode(*key) == cursor);
    key.ok_or_else(|| Error::invalid("cursor", "must be taken from the page before as it is"))
}
