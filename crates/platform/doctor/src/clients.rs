//! The other clients of the database.

use berth_database::Settings;
use sqlx::postgres::PgConnection;
use sqlx::{Error, Row, raw_sql};

use crate::Finding;
use crate::run::or_unknown;

/// Counts the other connections of the role to the database: a pooler's limit is for a role and database.
///
/// They include idle server connections of a session pooler, which look the same to the server.
pub(crate) async fn finding(settings: &Settings, connection: &mut PgConnection) -> Finding {
    or_unknown("connected", look(settings, connection).await)
}

async fn look(settings: &Settings, connection: &mut PgConnection) -> Result<Finding, Error> {
    let clients = clients(connection).await?;
    let total: i64 = clients.iter().map(|(_, number)| number).sum();
    let named = clients.iter().map(|(name, number)| match name.as_str() {
        "nameless" => format!("{number} without a name (a pooler keeps idle connections open)"),
        name => format!("{number} {name}"),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let says = match total {
        0 => "no other client is connected".to_owned(),
        _ => format!("{total} connections besides the doctor's: {named}"),
    };
    let own = format!("{}/", settings.application_name);
    let strangers: i64 = clients
        .iter()
        .filter(|(name, _)| !name.starts_with(&own) && name != "nameless")
        .map(|(_, number)| number)
        .sum();
    Ok(if strangers > i64::from(settings.reserve) {
        Finding::warn(
            "connected",
            format!(
                "{says}: {strangers} belong to other programs, but the reserve is {}",
                settings.reserve
            ),
            format!("set DB_RESERVE={strangers} or more, or close these connections"),
        )
    } else {
        Finding::pass("connected", says)
    })
}

/// The number of connections by name, in descending order, without the doctor's own.
pub(crate) async fn clients(connection: &mut PgConnection) -> Result<Vec<(String, i64)>, Error> {
    let sql = "SELECT coalesce(nullif(application_name, ''), 'nameless'), count(*) FROM pg_stat_activity \
               WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid() \
               AND coalesce(backend_type, 'client backend') = 'client backend' GROUP BY 1 ORDER BY 2 DESC, 1";
    let rows = raw_sql(sql).fetch_all(connection).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}
