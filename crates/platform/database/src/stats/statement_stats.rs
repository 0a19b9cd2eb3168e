//! Statement statistics: how long statements take, by operation and table.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::stats::histogram::Histogram;

/// The most operations and tables with timings of their own; later ones count as table `other`.
///
/// Each becomes a series of some twenty numbers in a metrics store, so a program that makes up table names must not
/// fill it.
const MAX_SERIES: usize = 200;
/// PostgreSQL cuts names at 63 bytes, and a schema may come first.
const LONGEST_NAME: usize = 127;
/// The table of those past the bound.
const OTHER: &str = "other";

/// How long the statements of one operation on one table took.
#[derive(Clone, Debug, Serialize)]
pub struct StatementTimings {
    /// `SELECT`, `INSERT`, `UPDATE`, `DELETE`, `WITH`, `BEGIN`, `COMMIT` or `OTHER`.
    pub operation: &'static str,
    /// The first table in the statement, with its schema where that is written; empty where there is none.
    pub table: String,
    /// How long each took, from sending to its last row.
    pub timings: Histogram,
}

/// The first word of a statement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    Select,
    Insert,
    Update,
    Delete,
    With,
    Begin,
    Commit,
    Other,
}

impl Operation {
    const ALL: [Self; 8] = [
        Self::Select,
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::With,
        Self::Begin,
        Self::Commit,
        Self::Other,
    ];

    /// The operation that begins with this word.
    pub(crate) fn of(word: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|operation| word.eq_ignore_ascii_case(operation.name()))
            .unwrap_or(Self::Other)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::With => "WITH",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Other => "OTHER",
        }
    }
}

/// What the timings of a statement are recorded under.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StatementLabel<'s> {
    pub(crate) operation: Operation,
    /// Empty where there is none.
    pub(crate) table: &'s str,
}

impl StatementLabel<'static> {
    pub(crate) const COMMIT: Self = Self {
        operation: Operation::Commit,
        table: "",
    };
}

/// Timings by operation and table. They have a lock of their own, so that the pool's is not held for them.
#[derive(Debug, Default)]
pub(crate) struct StatementStats(Mutex<[HashMap<Box<str>, Histogram>; Operation::ALL.len()]>);

impl StatementStats {
    pub(crate) fn record(&self, label: StatementLabel<'_>, took: Duration) {
        let table = if label.table.len() > LONGEST_NAME {
            OTHER
        } else {
            label.table
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(timings) = known[label.operation as usize].get_mut(table) {
            return timings.record(took);
        }
        let full = known.iter().map(HashMap::len).sum::<usize>() >= MAX_SERIES;
        let table = if full { OTHER } else { table };
        let timings = known[label.operation as usize].entry(table.into()).or_default();
        timings.record(took);
    }

    pub(crate) fn all(&self) -> Vec<StatementTimings> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let each = Operation::ALL.iter().zip(known.iter());
        let mut all: Vec<_> = each
            .flat_map(|(operation, tables)| {
                tables.iter().map(|(table, timings)| StatementTimings {
                    operation: operation.name(),
                    table: table.to_string(),
                    timings: *timings,
                })
            })
            .collect();
        drop(known);
        all.sort_by(|left, right| (left.operation, &left.table).cmp(&(right.operation, &right.table)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_series_is_bounded() {
        let statements = StatementStats::default();
        let record = |operation, table: &str| {
            statements.record(StatementLabel { operation, table }, Duration::from_millis(1));
        };
        for number in 0..1_000 {
            record(Operation::Select, &format!("t{number}"));
        }
        record(Operation::Update, "late");
        let all = statements.all();
        assert!(all.len() <= MAX_SERIES + Operation::ALL.len(), "{}", all.len());
        let counted: u64 = all.iter().map(|one| one.timings.count()).sum();
        assert_eq!(counted, 1_001);
        assert!(
            all.iter()
                .any(|one| (one.operation, &*one.table) == ("UPDATE", OTHER))
        );
    }
}
