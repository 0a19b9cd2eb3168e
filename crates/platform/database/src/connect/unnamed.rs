//! Unnamed statements, which are what a transaction pooler allows, and types that the driver does not know.
//!
//! sqlx 0.9.0 prepares a statement, asks the catalogue for the types of its columns that it meets for the first time on
//! this connection, and then executes it. The question drops an unnamed statement, so the execution fails with 26000
//! ([sqlx #4305](https://github.com/launchbadge/sqlx/issues/4305)), and the transaction with it. Enums, domains, composite
//! types, arrays of them and the types of extensions are all concerned.
//!
//! So a text's first use on a connection is rehearsed: sqlx prepares the statement, asks for the types and remembers
//! them, and then finds an argument of a type that does not exist, before anything is executed. The server sees no
//! error, so this works at every place of a transaction. A savepoint before each new text would cost as much and would
//! need the statement to fail first. Loading types at the connection's set-up would miss those made later.
//!
//! A rehearsal costs two round trips, and one more where types are asked for. There is none for a text whose columns
//! were seen to have common built-in types only, on whatever connection. A change of the schema can make what is
//! remembered wrong. Then the statement fails with 26000, everything is forgotten, and the session goes on as after a
//! stale plan.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{PoisonError, RwLock};

use sea_orm::{Statement, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgConnection, PgRow, PgTypeInfo, Postgres};
use sqlx::{Arguments, AssertSqlSafe, Column, Encode, Error, IntoArguments, Row, Type, query_with};

/// How many texts are remembered before all are forgotten.
const MOST_TEXTS: usize = 10_000;

/// The object identifiers of common built-in types, which sqlx knows without asking: from bool to text, json, floats,
/// character types, times, numeric, uuid and jsonb, then the arrays of some.
const COMMON_TYPES: [u32; 28] = [
    16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 700, 701, 1042, 1043, 1082, 1083, 1114, 1184, 1186, 1266, 1700,
    2278, 2950, 3802, 1007, 1009, 1016, 2951,
];

/// The type of an argument that cannot be sent.
const MISSING_TYPE: &str = "pg_catalog.not_a_type";

/// The texts whose columns have common built-in types only; one for all connections of a pool.
#[derive(Debug, Default)]
pub(crate) struct CommonTexts {
    hasher: RandomState,
    texts: RwLock<HashSet<u64>>,
}

/// The texts that were rehearsed on one connection.
#[derive(Debug, Default)]
pub(crate) struct RehearsedTexts(HashSet<u64>);

impl CommonTexts {
    /// Makes sure that the statement can be executed unnamed on this connection.
    ///
    /// # Errors
    /// As the statement's own execution, before it has any effect.
    pub(crate) async fn rehearse(
        &self,
        connection: &mut PgConnection,
        rehearsed: &mut RehearsedTexts,
        statement: &Statement,
    ) -> Result<(), Error> {
        let text = self.hasher.hash_one(&statement.sql);
        if rehearsed.0.contains(&text) || self.contains(text) {
            return Ok(());
        }
        rehearse(connection, statement).await?;
        insert(&mut rehearsed.0, text);
        Ok(())
    }

    /// Takes note of the columns of a statement's row.
    pub(crate) fn note(&self, statement: &Statement, row: &PgRow) {
        let text = self.hasher.hash_one(&statement.sql);
        let common = |oid: u32| COMMON_TYPES.contains(&oid);
        let mut types = row.columns().iter().map(|column| column.type_info().oid());
        if !self.contains(text) && types.all(|oid| oid.is_some_and(|oid| common(oid.0))) {
            insert(
                &mut self.texts.write().unwrap_or_else(PoisonError::into_inner),
                text,
            );
        }
    }

    /// Forgets what a change of the schema may have made wrong.
    pub(crate) fn forget(&self) {
        self.texts.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn contains(&self, text: u64) -> bool {
        self.texts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&text)
    }
}

fn insert(texts: &mut HashSet<u64>, text: u64) {
    if texts.len() == MOST_TEXTS {
        texts.clear();
    }
    texts.insert(text);
}

/// Prepares a statement without executing it, so that sqlx asks for the types that it does not know.
async fn rehearse(connection: &mut PgConnection, statement: &Statement) -> Result<(), Error> {
    let values = statement.values.clone().unwrap_or(Values(Vec::new()));
    let mut arguments: PgArguments = IntoArguments::<Postgres>::into_arguments(SqlxValues(values));
    arguments.add(Unsendable).map_err(Error::Encode)?;
    let rehearsal = query_with(AssertSqlSafe(statement.sql.as_str()), arguments).persistent(false);
    match rehearsal.execute(connection).await {
        Err(Error::TypeNotFound { type_name }) if type_name == MISSING_TYPE => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(Error::Protocol("a rehearsed statement was executed".to_owned())),
    }
}

/// A text to the server, and to sqlx an array of a type whose identifier it must look up before it executes the
/// statement.
struct Unsendable;

impl Type<Postgres> for Unsendable {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Unsendable {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&[Missing] as Encode<'_, Postgres>>::encode_by_ref(&[].as_slice(), buffer)
    }
}

struct Missing;

impl Type<Postgres> for Missing {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name(MISSING_TYPE)
    }
}

impl Encode<'_, Postgres> for Missing {
    fn encode_by_ref(&self, _: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Ok(IsNull::Yes)
    }
}
