//! How long statements take, by what they do and to which table.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::stats::histogram::Histogram;

/// Kinds of statement and table told apart; what comes after them counts as table `other`.
///
/// Each becomes a series of some twenty numbers where metrics are kept, so a program that makes up table
/// names must not be able to fill that place.
const MOST: usize = 200;
/// Longer names are nobody's: PostgreSQL cuts at 63 bytes, and a schema may stand before.
const LONGEST_NAME: usize = 127;
/// The table of those past the bound.
const OTHER: &str = "other";

/// How long one kind of statement took on one table.
#[derive(Clone, Debug, Serialize)]
pub struct StatementTimings {
    /// `SELECT`, `INSERT`, `UPDATE`, `DELETE`, `WITH`, `BEGIN`, `COMMIT` or `OTHER`.
    pub operation: &'static str,
    /// The first table named, with its schema where that is written; empty where there is none.
    pub table: String,
    /// How long each took, from sending to its last row.
    pub timings: Histogram,
}

/// The first words that are told apart. What begins with none of them is the last one.
const OPERATIONS: [&str; 8] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "BEGIN", "COMMIT", "OTHER",
];

/// Durations by kind and table, with a lock of their own: the pool's is not held longer for them.
#[derive(Debug, Default)]
pub(crate) struct StatementStats(Mutex<[HashMap<Box<str>, Histogram>; OPERATIONS.len()]>);

impl StatementStats {
    pub(crate) fn record(&self, sql: &str, took: Duration) {
        let (operation, table) = shape(sql);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(timings) = known[operation].get_mut(table) {
            return timings.record(took);
        }
        let full = known.iter().map(HashMap::len).sum::<usize>() >= MOST;
        let table = if full { OTHER } else { table };
        known[operation].entry(table.into()).or_default().record(took);
    }

    pub(crate) fn all(&self) -> Vec<StatementTimings> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let each = OPERATIONS.iter().zip(known.iter());
        let mut all: Vec<_> = each
            .flat_map(|(operation, tables)| {
                tables.iter().map(|(table, timings)| StatementTimings {
                    operation,
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

/// The statement's kind and its first table, read without understanding the rest: a wrong guess costs a
/// label, nothing else.
pub(crate) fn shape(sql: &str) -> (usize, &str) {
    let sql = sql.trim_start();
    let (word, cooldown) = sql
        .split_once(|letter: char| !letter.is_ascii_alphabetic())
        .unwrap_or((sql, ""));
    let known = OPERATIONS
        .iter()
        .position(|known| word.eq_ignore_ascii_case(known));
    let operation = known.unwrap_or(OPERATIONS.len() - 1);
    let table = match OPERATIONS[operation] {
        "SELECT" | "DELETE" | "WITH" => after(sql, "FROM"),
        "INSERT" => after(sql, "INTO"),
        "UPDATE" => Some(cooldown),
        _ => None,
    };
    (operation, table.map(name).unwrap_or_default())
}

/// The name of a kind, for spans.
pub(crate) fn operation(sql: &str) -> &'static str {
    OPERATIONS[shape(sql).0]
}

/// What follows a word that stands by itself.
fn after<'s>(sql: &'s str, word: &str) -> Option<&'s str> {
    let bytes = sql.as_bytes();
    let mut from = 0;
    while let Some(space) = bytes.get(from..)?.iter().position(u8::is_ascii_whitespace) {
        from += space + 1;
        let end = from + word.len();
        let found = bytes.get(from..end)?.eq_ignore_ascii_case(word.as_bytes());
        if found && bytes.get(end)?.is_ascii_whitespace() {
            return sql.get(end + 1..);
        }
    }
    None
}

/// The name that a text begins with, with the quotes that SeaORM puts around it taken off.
fn name(text: &str) -> &str {
    let text = text.trim_start();
    let end = text
        .find(|letter: char| !(letter.is_alphanumeric() || "_.\"`$".contains(letter)))
        .unwrap_or(text.len());
    let name = text[..end].trim_matches(['"', '`']);
    if name.len() > LONGEST_NAME { OTHER } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_known_by_its_kind_and_first_table() {
        for (sql, operation, table) in [
            (
                r#"SELECT "users"."id" FROM "users" WHERE "users"."id" = $1"#,
                "SELECT",
                "users",
            ),
            (
                r#"INSERT INTO "messages" ("id") VALUES ($1) RETURNING "id""#,
                "INSERT",
                "messages",
            ),
            (
                r#"UPDATE "conversations" SET "title" = $1"#,
                "UPDATE",
                "conversations",
            ),
            ("delete\nfrom app.tags where true", "DELETE", "app.tags"),
            ("SELECT COUNT(*) AS n FROM (SELECT 1) AS sub", "SELECT", ""),
            ("WITH t AS (SELECT * FROM users) SELECT * FROM t", "WITH", "users"),
            ("SELECT 1", "SELECT", ""),
            ("BEGIN; SELECT set_config('a', 'b', true)", "BEGIN", ""),
            ("COMMIT", "COMMIT", ""),
            ("SAVEPOINT berth_1", "OTHER", ""),
            ("", "OTHER", ""),
            ("SELECT x FROM", "SELECT", ""),
            ("SELECT 'ä' FROM  \"Größe\"", "SELECT", "Größe"),
        ] {
            let (kind, found) = shape(sql);
            assert_eq!((OPERATIONS[kind], found), (operation, table), "{sql}");
        }
    }

    #[test]
    fn made_up_names_do_not_add_up() {
        let statements = StatementStats::default();
        for number in 0..1_000 {
            statements.record(&format!("SELECT 1 FROM t{number}"), Duration::from_millis(1));
        }
        statements.record("UPDATE late SET x = 1", Duration::from_millis(1));
        let all = statements.all();
        assert!(all.len() <= MOST + OPERATIONS.len(), "{}", all.len());
        let counted: u64 = all.iter().map(|one| one.timings.count()).sum();
        assert_eq!(counted, 1_001);
        assert!(
            all.iter()
                .any(|one| (one.operation, &*one.table) == ("UPDATE", OTHER))
        );
    }
}
