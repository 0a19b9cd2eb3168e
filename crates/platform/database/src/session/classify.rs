//! Classifies statements by their text; the only reader of SQL in the connection layer.
//!
//! Three questions matter. May the statement be sent outside a transaction and, if its connection is lost, be sent
//! again? Does it begin or end a transaction without the session? Does it leave state on the connection? Where the text
//! leaves doubt, the answer is the safe one. Statistics take the statement's operation and table from the same tokens.

use crate::stats::statement_stats::{Operation, StatementLabel};

/// What the connection layer has to know about a statement.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct StatementKind {
    /// One SELECT without locks, data changes or functions that are not known to be harmless.
    pub(crate) plain_read: bool,
    /// The same with any function: SQLite has none that write.
    pub(crate) select: bool,
    /// BEGIN, COMMIT, SAVEPOINT and their kin.
    pub(crate) control: bool,
    /// Session settings, advisory locks, LISTEN, temporary tables: what a session pooler's connection keeps until it
    /// is reset, and what has no place behind a transaction pooler.
    pub(crate) taints: bool,
    /// State that the reset at the end of a transaction does not clear, so that the connection is closed afterwards.
    pub(crate) survives_reset: bool,
}

const READERS: &[&str] = &["SELECT", "VALUES", "WITH"];
const CONTROL: &[&str] = &[
    "BEGIN",
    "START",
    "COMMIT",
    "END",
    "ROLLBACK",
    "ABORT",
    "SAVEPOINT",
    "RELEASE",
];
/// Objects whose definition may hold statements between BEGIN and END.
const ROUTINES: &[&str] = &["TRIGGER", "FUNCTION", "PROCEDURE"];
/// What follows the BEGIN of such statements, on PostgreSQL and on SQLite. BEGIN itself may also be a name there.
const BODIES: &[&str] = &[
    "ATOMIC", "SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES",
];
const CHANGES: &[&str] = &["INSERT", "UPDATE", "DELETE", "MERGE", "INTO", "FOR", "LOCK"];
const SETTINGS: &[&str] = &[
    "RESET",
    "LISTEN",
    "PREPARE",
    "LOAD",
    "DISCARD",
    "DEALLOCATE",
    "PRAGMA",
    "ATTACH",
];
const TAINTING: &[&str] = &[
    "PG_ADVISORY_LOCK",
    "PG_ADVISORY_LOCK_SHARED",
    "PG_TRY_ADVISORY_LOCK",
    "PG_TRY_ADVISORY_LOCK_SHARED",
    "DBLINK_CONNECT",
];

/// Of what taints, what `RESET ALL` and its companions leave alone: the driver's own prepared statements count on it.
const SURVIVING: &[&str] = &["PREPARE", "DEALLOCATE", "DISCARD", "LOAD", "PRAGMA", "ATTACH"];

/// Words that may stand before a parenthesis in a plain read: keywords, and functions without effects.
const HARMLESS: &[&str] = &[
    "ABS",
    "ALL",
    "AND",
    "ANY",
    "ARRAY",
    "ARRAY_AGG",
    "AS",
    "AVG",
    "BETWEEN",
    "BOOL_AND",
    "BOOL_OR",
    "BY",
    "CASE",
    "CAST",
    "CHAR",
    "CHAR_LENGTH",
    "COALESCE",
    "CONCAT",
    "COUNT",
    "CURRENT_SETTING",
    "DATE",
    "DATETIME",
    "DATE_TRUNC",
    "DECIMAL",
    "DENSE_RANK",
    "DISTINCT",
    "ELSE",
    "EXCEPT",
    "EXISTS",
    "EXTRACT",
    "FILTER",
    "FROM",
    "GENERATE_SERIES",
    "GREATEST",
    "GROUP",
    "HAVING",
    "IFNULL",
    "IN",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "JSONB_AGG",
    "JSONB_BUILD_OBJECT",
    "JSON_AGG",
    "JSON_BUILD_OBJECT",
    "JSON_EXTRACT",
    "LAG",
    "LATERAL",
    "LEAD",
    "LEAST",
    "LENGTH",
    "LIKE",
    "LIMIT",
    "LOWER",
    "MATERIALIZED",
    "MAX",
    "MIN",
    "NOT",
    "NOW",
    "NULLIF",
    "NUMERIC",
    "OFFSET",
    "ON",
    "OR",
    "OVER",
    "PG_BACKEND_PID",
    "PG_SLEEP",
    "PLAINTO_TSQUERY",
    "RANDOM",
    "RANK",
    "RECURSIVE",
    "REPLACE",
    "ROUND",
    "ROW",
    "ROW_NUMBER",
    "SELECT",
    "SIMILARITY",
    "SOME",
    "STRFTIME",
    "STRING_AGG",
    "SUBSTR",
    "SUBSTRING",
    "SUM",
    "THEN",
    "TO_CHAR",
    "TO_REGCLASS",
    "TO_TSQUERY",
    "TO_TSVECTOR",
    "TRIM",
    "TS_RANK",
    "UNION",
    "UNNEST",
    "UPPER",
    "USING",
    "VALUES",
    "VARCHAR",
    "VERSION",
    "WHEN",
    "WHERE",
    "WITHIN",
];

/// Reads a statement's text.
pub(crate) fn read(sql: &str) -> StatementKind {
    let mut traits = StatementKind::default();
    let mut statements = 0;
    let (mut reading, mut known) = (true, true);
    let mut start = true;
    // The first word of the present statement, and the word just before the present token.
    let (mut first, mut last) = ("", "");
    // How many parentheses are open, and how many were when a call of set_config began.
    let (mut depth, mut set_config) = (0_usize, None);
    // Whether a routine is being created, and how many BEGIN and CASE of its body are open.
    let (mut routine, mut body) = (false, 0_usize);
    for token in Tokens(sql.as_bytes()) {
        match token {
            Token::Word(word) if body > 0 => {
                // After AS and a dot, keywords are names.
                let name = ["AS", "."].has(last);
                body += usize::from(!name && ["CASE"].has(word));
                body -= usize::from(!name && ["END"].has(word));
                last = word;
            }
            Token::Dot => last = ".",
            _ if body > 0 => last = "",
            Token::Word(word) if start => {
                statements += 1;
                start = false;
                reading &= READERS.has(word);
                traits.control |= CONTROL.has(word);
                traits.taints |= SETTINGS.has(word);
                traits.survives_reset |= SURVIVING.has(word);
                (first, last) = (word, word);
                routine = false;
            }
            Token::Word(word) => {
                routine |= ["CREATE"].has(first)
                    && ["CREATE", "REPLACE", "TEMP", "TEMPORARY"].has(last)
                    && ROUTINES.has(word);
                body = usize::from(routine && depth == 0 && ["BEGIN"].has(last) && BODIES.has(word));
                let second = std::ptr::eq(first, last);
                reading &= !CHANGES.has(word);
                traits.control |= second && ["PREPARE"].has(first) && ["TRANSACTION"].has(word);
                traits.taints |=
                    second && ["SET"].has(first) && !["LOCAL", "CONSTRAINTS", "TRANSACTION"].has(word);
                traits.taints |= ["TEMP", "TEMPORARY"].has(word)
                    && (["CREATE"].has(first) || ["INTO", "LOCAL", "GLOBAL"].has(last));
                traits.taints |= ["DECLARE"].has(first) && ["WITH"].has(last) && ["HOLD"].has(word);
                last = word;
            }
            Token::Open => {
                known &= last.is_empty() || HARMLESS.has(last);
                traits.taints |= TAINTING.has(last);
                traits.survives_reset |= ["DBLINK_CONNECT"].has(last);
                depth += 1;
                if ["SET_CONFIG"].has(last) {
                    set_config.get_or_insert(depth);
                }
                last = "";
            }
            Token::Close => {
                // The idiom of row-level security, `set_config(name, value, true)`, ends with the transaction.
                if set_config == Some(depth) {
                    traits.taints |= !["TRUE"].has(last);
                    set_config = None;
                }
                depth = depth.saturating_sub(1);
                last = "";
            }
            Token::Identifier(_) => {
                // A quoted name before a parenthesis is a function that may do anything.
                start = false;
                last = "\"";
            }
            Token::End => start = true,
            Token::Other => last = "",
        }
    }
    traits.select = reading && statements == 1;
    traits.plain_read = traits.select && known;
    // The body of a DO block is a string here.
    traits.survives_reset |= ["DO"].has(first) && sql.to_ascii_lowercase().contains("prepare");
    traits
}

/// Returns the operation and the first table of a statement. A wrong guess costs a label and nothing else.
pub(crate) fn label(sql: &str) -> StatementLabel<'_> {
    let mut tokens = Tokens(sql.as_bytes());
    let operation = match tokens.next() {
        Some(Token::Word(word)) => Operation::of(word),
        _ => Operation::Other,
    };
    let before = match operation {
        Operation::Select | Operation::Delete | Operation::With => Some("FROM"),
        Operation::Insert => Some("INTO"),
        Operation::Update => None,
        Operation::Begin | Operation::Commit | Operation::Other => {
            return StatementLabel { operation, table: "" };
        }
    };
    let found = before.is_none_or(|before| {
        tokens.any(|token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(before)))
    });
    let table = if found { name(sql, tokens) } else { "" };
    StatementLabel { operation, table }
}

/// The name, perhaps with a schema, that comes next; empty where something else does.
fn name<'s>(sql: &'s str, mut tokens: Tokens<'s>) -> &'s str {
    let (Some(Token::Word(first)) | Some(Token::Identifier(first))) = tokens.next() else {
        return "";
    };
    let start = sql.len() - tokens.0.len() - first.len();
    let mut end = sql.len() - tokens.0.len();
    while let (Some(Token::Dot), Some(Token::Word(_) | Token::Identifier(_))) = (tokens.next(), tokens.next())
    {
        end = sql.len() - tokens.0.len();
    }
    sql.get(start..end).unwrap_or_default().trim_matches(['"', '`'])
}

/// Membership in a list, without regard to case.
trait Words {
    fn has(&self, word: &str) -> bool;
}

impl Words for [&str] {
    fn has(&self, word: &str) -> bool {
        self.iter().any(|known| known.eq_ignore_ascii_case(word))
    }
}

enum Token<'a> {
    Word(&'a str),
    /// A quoted name, with its quotes.
    Identifier(&'a str),
    Open,
    Close,
    End,
    Dot,
    Other,
}

/// How a string escapes its quote, besides doubling it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Escapes {
    None,
    Backslash,
}

/// Splits SQL into the tokens that matter here; strings, comments and numbers are skipped.
struct Tokens<'a>(&'a [u8]);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let (&byte, rest) = self.0.split_first()?;
            match byte {
                _ if byte.is_ascii_whitespace() => self.0 = rest,
                b'-' if rest.first() == Some(&b'-') => self.skip_line(),
                b'/' if rest.first() == Some(&b'*') => self.skip_comment(),
                b'\'' => {
                    self.skip_quoted(b'\'', Escapes::None);
                    return Some(Token::Other);
                }
                b'"' | b'`' => {
                    let before = self.0;
                    self.skip_quoted(byte, Escapes::None);
                    let quoted = &before[..before.len() - self.0.len()];
                    return Some(Token::Identifier(std::str::from_utf8(quoted).unwrap_or_default()));
                }
                b'.' => {
                    self.0 = rest;
                    return Some(Token::Dot);
                }
                b'$' => {
                    self.skip_dollar();
                    return Some(Token::Other);
                }
                b'(' => {
                    self.0 = rest;
                    return Some(Token::Open);
                }
                b')' => {
                    self.0 = rest;
                    return Some(Token::Close);
                }
                b';' => {
                    self.0 = rest;
                    return Some(Token::End);
                }
                _ if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 => return Some(self.word()),
                _ => {
                    self.0 = rest;
                    return Some(Token::Other);
                }
            }
        }
    }
}

impl<'a> Tokens<'a> {
    fn word(&mut self) -> Token<'a> {
        let part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || *byte >= 0x80;
        let length = self.0.iter().take_while(|byte| part(byte)).count();
        let (word, rest) = self.0.split_at(length);
        self.0 = rest;
        // E'...' knows backslashes; other prefixes of a string change nothing here.
        if word.eq_ignore_ascii_case(b"e") && rest.first() == Some(&b'\'') {
            self.skip_quoted(b'\'', Escapes::Backslash);
            return Token::Other;
        }
        Token::Word(std::str::from_utf8(word).unwrap_or_default())
    }

    fn skip_line(&mut self) {
        let length = self
            .0
            .iter()
            .take_while(|byte| !matches!(byte, b'\n' | b'\r'))
            .count();
        self.0 = &self.0[length..];
    }

    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        while let Some((head, rest)) = self.0.split_first_chunk::<2>() {
            match head {
                b"/*" => (depth, self.0) = (depth + 1, rest),
                b"*/" => (depth, self.0) = (depth - 1, rest),
                _ => self.0 = &self.0[1..],
            }
            if depth == 0 {
                return;
            }
        }
        self.0 = &[];
    }

    fn skip_quoted(&mut self, quote: u8, escapes: Escapes) {
        let mut bytes = self.0.iter().enumerate().skip(1);
        while let Some((at, &byte)) = bytes.next() {
            // A doubled quote goes on: after it, backslashes still mean what they meant.
            let doubled = byte == quote && self.0.get(at + 1) == Some(&quote);
            if doubled || (escapes == Escapes::Backslash && byte == b'\\') {
                bytes.next();
            } else if byte == quote {
                self.0 = &self.0[at + 1..];
                return;
            }
        }
        self.0 = &[];
    }

    /// A dollar-quoted string, or a parameter such as `$1`.
    fn skip_dollar(&mut self) {
        let tag = self
            .0
            .iter()
            .skip(1)
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_' || **byte >= 0x80)
            .count();
        let opener = self.0.get(..tag + 2).filter(|opener| opener.ends_with(b"$"));
        let quoted = opener.filter(|opener| opener.len() == 2 || !opener[1].is_ascii_digit());
        let Some(opener) = quoted else {
            self.0 = &self.0[1 + tag..];
            return;
        };
        let body = &self.0[opener.len()..];
        let end = body.windows(opener.len()).position(|window| window == opener);
        self.0 = end.map_or(&[], |end| &body[end + opener.len()..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_read_is_what_seaorm_writes_for_a_find() {
        for sql in [
            r#"SELECT "user"."id", "user"."name" FROM "user" WHERE "user"."id" = $1 LIMIT $2"#,
            r#"SELECT COUNT(*) AS num_items FROM (SELECT "a"."id" FROM "a" WHERE "a"."id" IN ($1, $2)) AS "sub_query""#,
            "select 1",
            "SELECT 'it''s; UPDATE x' AS note -- FOR UPDATE\n",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "SELECT $$; COMMIT; $$",
        ] {
            assert_eq!(
                read(sql),
                StatementKind {
                    plain_read: true,
                    select: true,
                    ..StatementKind::default()
                },
                "{sql}"
            );
        }
    }

    #[test]
    fn statements_that_lock_or_change_or_call_unknown_functions_are_not_plain_reads() {
        for sql in [
            r#"SELECT * FROM "a" FOR UPDATE"#,
            "SELECT nextval('s')",
            r#"SELECT "my_function"(1)"#,
            "SELECT public.transfer(1)",
            "SELECT 1; DELETE FROM a",
            "WITH gone AS (DELETE FROM a RETURNING id) SELECT * FROM gone",
            "SELECT * INTO b FROM a",
            "INSERT INTO a VALUES (1)",
            "EXPLAIN ANALYZE DELETE FROM a",
            "",
        ] {
            assert!(!read(sql).plain_read, "{sql}");
        }
    }

    #[test]
    fn finds_transaction_control_wherever_a_statement_begins() {
        for sql in [
            "COMMIT",
            " /* x */ begin",
            "SELECT 1; ROLLBACK",
            "savepoint a",
            "PREPARE TRANSACTION 'x'",
            "-- one\rCOMMIT",
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT CASE WHEN 1 THEN 2 END; END; COMMIT",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT a.case, 1 AS case FROM a; END; /* x */ BEGIN",
            "CREATE TRIGGER t AFTER INSERT ON begin FOR EACH ROW EXECUTE FUNCTION f(); COMMIT",
            "CREATE FUNCTION f(begin delete) RETURNS void LANGUAGE sql AS ''; COMMIT",
            "CREATE TABLE trigger (begin int); BEGIN; DELETE FROM trigger; END",
            "CREATE TRIGGER a AFTER INSERT ON b BEGIN DELETE FROM c; END; SELECT 1; BEGIN SELECT 1; END",
            r"SELECT E'it''s \' '; COMMIT; --'",
            "SELECT $é$ ' $é$; COMMIT; --'",
        ] {
            assert!(read(sql).control, "{sql}");
        }
        for sql in [
            "SELECT CASE WHEN true THEN 1 END",
            "CREATE FUNCTION f() RETURNS void AS $f$ BEGIN; COMMIT; END $f$ LANGUAGE plpgsql",
            "SELECT E'\\'; COMMIT; --'",
            "CREATE TRIGGER t AFTER UPDATE OF begin ON a BEGIN UPDATE a SET n = 1; DELETE FROM b; END",
            "create temp trigger if not exists t after delete on a when old.n > 1 begin -- ; COMMIT
                select case when old.n > 2 then raise(rollback, 'x; END') end; insert into b values (1); end;",
            "CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT a; SELECT a + 1; END",
            "CREATE PROCEDURE p() BEGIN/**/ATOMIC INSERT INTO a VALUES (1); END; SELECT 1",
        ] {
            assert!(!read(sql).control, "{sql}");
        }
    }

    #[test]
    fn a_statement_is_labelled_with_its_operation_and_first_table() {
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
            ("SELECT ' FROM x' FROM y", "SELECT", "y"),
        ] {
            let label = label(sql);
            assert_eq!((label.operation.name(), label.table), (operation, table), "{sql}");
        }
    }

    #[test]
    fn statements_that_change_session_state_are_found() {
        for sql in [
            "SET work_mem = '1MB'",
            "SELECT pg_advisory_lock(1)",
            "CREATE TEMP TABLE t (a int)",
            "LISTEN x",
            "SELECT 1 AS x INTO TEMP t",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "SELECT set_config('app.tenant', $1, false)",
            "SELECT set_config('app.tenant', $1, $2)",
        ] {
            assert!(read(sql).taints, "{sql}");
        }
        for sql in [
            "SET LOCAL work_mem = '1MB'",
            "UPDATE a SET b = 1",
            "SELECT pg_advisory_xact_lock(1)",
            "SELECT temp FROM weather",
            "SELECT set_config('app.tenant', $1, true)",
            "SELECT set_config('a', lower($1), true), (SELECT 1)",
        ] {
            assert!(!read(sql).taints, "{sql}");
        }
    }
}
