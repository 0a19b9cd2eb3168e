//! Reads the tables of a PostgreSQL database.

use std::collections::BTreeSet;

use berth_database::{Settings, diagnostics};
use sea_orm::sea_query::TableCreateStatement;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use sea_schema::postgres::def::TableDef;
use sea_schema::postgres::discovery::SchemaDiscovery;

use super::OWN_SCHEMA;
use crate::error::Error;

/// The schemas with tables, but for the server's own.
const SCHEMAS: &str = "select distinct table_schema::text from information_schema.tables where table_type = 'BASE TABLE' \
    and table_schema not in ('pg_catalog', 'information_schema')";
/// Foreign keys to another schema, which the generator takes for keys to a table of the same.
const FOREIGN: &str = "select conname::text from pg_catalog.pg_constraint key \
    join pg_catalog.pg_class target on target.oid = key.confrelid \
    where contype = 'f' and target.relnamespace <> key.connamespace and connamespace = $1::regnamespace";

/// A table, with its schema.
pub(super) struct Table {
    pub(super) schema: String,
    definition: TableDef,
    /// Names of its foreign keys to other schemas.
    foreign: Vec<String>,
}

impl Table {
    pub(super) fn name(&self) -> &str {
        &self.definition.info.name
    }

    /// The name that a user gives: with its schema, unless it is the service's own.
    pub(super) fn full_name(&self) -> String {
        match self.schema == OWN_SCHEMA {
            true => self.name().to_owned(),
            false => format!("{}.{}", self.schema, self.name()),
        }
    }

    pub(super) fn primary_key(&self) -> Vec<String> {
        let keys = self.definition.primary_key_constraints.iter();
        keys.flat_map(|key| key.columns.clone()).collect()
    }

    /// The table for the generator, with its relations to those tables only that are generated with it.
    pub(super) fn statement(&self, generated: &BTreeSet<&str>) -> TableCreateStatement {
        let mut definition = self.definition.clone();
        definition
            .reference_constraints
            .retain(|key| generated.contains(key.table.as_str()) && !self.foreign.contains(&key.name));
        // As sea-orm-cli does: the generator has neither generated columns nor partial indexes.
        definition.columns.retain(|column| column.generated.is_none());
        definition.unique_constraints.retain(|index| !index.is_partial);
        definition.write()
    }
}

/// Reads all tables, by schema and name.
pub(super) async fn tables(url: &str) -> Result<Vec<Table>, Error> {
    let unreadable = |error: &dyn std::fmt::Display| Error::Database(error.to_string());
    let settings = Settings::for_url(url).map_err(|error| unreadable(&error))?;
    let connection = diagnostics::connect_for_sea_orm(&settings, "entities")
        .await
        .map_err(|error| unreadable(&error))?;
    let mut tables = read(&connection).await.map_err(|error| unreadable(&error))?;
    let _ = connection.close().await;
    tables.sort_by_key(Table::full_name);
    Ok(tables)
}

async fn read(connection: &DatabaseConnection) -> Result<Vec<Table>, sea_orm::DbErr> {
    let mut tables = Vec::new();
    for schema in texts(connection, Statement::from_string(DbBackend::Postgres, SCHEMAS)).await? {
        let values = [schema.as_str().into()];
        let foreign = texts(
            connection,
            Statement::from_sql_and_values(DbBackend::Postgres, FOREIGN, values),
        )
        .await?;
        // The discovery reads the types of columns as the search path shows them.
        let path = format!("set search_path = \"{}\"", schema.replace('"', "\"\""));
        connection.execute_unprepared(&path).await?;
        let pool = connection.get_postgres_connection_pool().clone();
        let found = SchemaDiscovery::new(pool, &schema).discover().await;
        let found = found.map_err(|error| sea_orm::DbErr::Custom(error.to_string()))?;
        tables.extend(found.tables.into_iter().map(|definition| Table {
            schema: schema.clone(),
            definition,
            foreign: foreign.clone(),
        }));
    }
    Ok(tables)
}

async fn texts(connection: &DatabaseConnection, statement: Statement) -> Result<Vec<String>, sea_orm::DbErr> {
    let rows = connection.query_all_raw(statement).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}
