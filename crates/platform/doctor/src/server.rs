//! Checks of the server: version, capacity, timeouts, names, clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use berth_database::{Pooler, Settings};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Error, Row, raw_sql};

use crate::Finding;
use crate::connect::Connected;
use crate::run::or_unknown;

/// The oldest supported version.
const OLDEST: i32 = 14;
/// The largest difference of the clocks, in seconds, that does no harm to expiry dates and logs.
const SKEW: f64 = 2.0;

/// Reports the user and database, and refusals before the connection.
pub(crate) async fn connectivity(connected: &mut Connected) -> Finding {
    let sql = "SELECT current_user::text, current_database()::text";
    let found = async {
        let row = one(&mut connected.connection, sql).await?;
        let (user, database): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        Ok(match &connected.refused {
            None => Finding::pass("reach", format!("{user} can connect to database {database}")),
            Some((answer, waited)) => Finding::warn(
                "reach",
                format!(
                    "full: {user} could connect after {:.1} s of refusals ({answer})",
                    waited.as_secs_f64()
                ),
                "raise DB_RESERVE, so that deploys, migrations and operators can connect while the service is busy",
            ),
        })
    };
    or_unknown("reach", found.await)
}

/// Checks the server's version.
pub(crate) async fn version(connection: &mut PgConnection) -> Finding {
    let sql = "SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000";
    let found = async {
        let row = one(connection, sql).await?;
        let (version, major): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
        let says = format!("PostgreSQL {version}");
        Ok(match major >= OLDEST {
            true => Finding::pass("version", says),
            false => Finding::warn(
                "version",
                format!("{says}, which is not supported and does not detect disconnected clients"),
                format!("upgrade to PostgreSQL {OLDEST} or later"),
            ),
        })
    };
    or_unknown("version", found.await)
}

/// Compares `database.limit` with the server's own limits.
pub(crate) async fn capacity(settings: &Settings, connection: &mut PgConnection) -> Finding {
    let sql = "SELECT current_setting('max_connections')::int, \
               current_setting('superuser_reserved_connections')::int, \
               (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user), \
               (SELECT datconnlimit FROM pg_database WHERE datname = current_database())";
    let look = async {
        let row = one(connection, sql).await?;
        let [most, kept, role, database]: [i32; 4] =
            [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?];
        // A limit of -1 is none.
        let own = [role, database].into_iter().filter(|limit| *limit >= 0);
        let room = own.fold(most - kept, i32::min);
        let limit = settings.limit;
        let says = format!("room for {room} (max_connections {most}), database.limit is {limit}");
        Ok(
            if i64::from(limit) > i64::from(room) && settings.pooler != Pooler::Transaction {
                Finding::fail("capacity", says, format!("set DB_LIMIT to {room} or less"))
            } else {
                Finding::pass("capacity", says)
            },
        )
    };
    or_unknown("capacity", look.await)
}

/// Checks that the server applies the timeouts, by their values and by an experiment.
pub(crate) async fn timeouts(settings: &Settings, connection: &mut PgConnection) -> Finding {
    or_unknown("timeouts", look_at_timeouts(settings, connection).await)
}

async fn look_at_timeouts(settings: &Settings, connection: &mut PgConnection) -> Result<Finding, Error> {
    let obeys = obeys_timeout(connection).await?;
    if !obeys {
        return Ok(Finding::fail(
            "timeouts",
            "a statement ran longer than its statement_timeout",
            "find out what overrides it: a pooler that drops SET, or settings of the role",
        ));
    }
    let wanted = [
        ("statement_timeout", settings.statement_timeout),
        (
            "idle_in_transaction_session_timeout",
            settings.idle_in_transaction_timeout,
        ),
    ];
    if let Some((name, _)) = wanted.iter().find(|(_, wanted)| wanted.is_zero()) {
        return Ok(Finding::fail(
            "timeouts",
            format!("{name} is 0, so a statement or transaction can hold a connection without limit"),
            "set database.statement_timeout and database.idle_in_transaction_timeout to a number of seconds",
        ));
    }
    if settings.pooler == Pooler::Transaction {
        return Ok(Finding::pass(
            "timeouts",
            "statement_timeout works; it is set in each transaction",
        ));
    }
    for (name, wanted) in wanted {
        let sql = format!("SELECT setting FROM pg_settings WHERE name = '{name}'");
        let setting: String = one(connection, &sql).await?.try_get(0)?;
        if setting != wanted.as_millis().max(1).to_string() {
            return Ok(not_kept(name, &setting, wanted));
        }
    }
    Ok(Finding::pass(
        "timeouts",
        format!(
            "the server applies them (statement {} s, idle in transaction {} s)",
            settings.statement_timeout.as_secs_f64(),
            settings.idle_in_transaction_timeout.as_secs_f64()
        ),
    ))
}

fn not_kept(name: &str, setting: &str, wanted: Duration) -> Finding {
    Finding::fail(
        "timeouts",
        format!(
            "{name} was set to {} ms and is {setting} ms in the next transaction",
            wanted.as_millis()
        ),
        "a transaction pooler causes this: use the session pooler's port, or set DB_POOLER=auto",
    )
}

/// Runs a statement of 2 s with a timeout of 20 ms.
async fn obeys_timeout(connection: &mut PgConnection) -> Result<bool, Error> {
    let sql = "BEGIN; SET LOCAL statement_timeout = 20; SELECT pg_sleep(2)";
    let ended = raw_sql(sql).execute(&mut *connection).await;
    raw_sql("ROLLBACK").execute(connection).await?;
    match ended {
        Ok(_) => Ok(false),
        Err(Error::Database(error)) => Ok(error.code().as_deref() == Some("57014")),
        Err(error) => Err(error),
    }
}

/// Checks that instances can count each other by name.
pub(crate) async fn name(settings: &Settings, plain: &Settings, connection: &mut PgConnection) -> Finding {
    let sql = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    let found = async {
        let shown: String = one(connection, sql).await?.try_get(0)?;
        let expected = format!("{}/", plain.application_name);
        Ok(if shown.starts_with(&expected) {
            let says = format!("instances see each other as {}/...", settings.application_name);
            Finding::pass("name", says)
        } else if matches!(settings.instances, berth_database::Instances::Fixed(_)) {
            Finding::pass(
                "name",
                "instances cannot count each other here, but DB_INSTANCES is a number",
            )
        } else {
            Finding::warn(
                "name",
                format!(
                    "the server shows {shown:?} instead of the instance's name: instances cannot count each other"
                ),
                "set DB_INSTANCES to the largest number that runs at once, deploys included",
            )
        })
    };
    or_unknown("name", found.await)
}

/// Compares the server's clock with this machine's.
pub(crate) async fn clock(connection: &mut PgConnection) -> Finding {
    let sql = "SELECT extract(epoch FROM clock_timestamp())::float8";
    let found = async {
        let before = now();
        let there: f64 = one(connection, sql).await?.try_get(0)?;
        // The server read its clock between sending and receiving.
        let skew = there - f64::midpoint(before, now());
        let says = format!(
            "the server's clock is {:.3} s {} this machine's",
            skew.abs(),
            if skew < 0.0 { "behind" } else { "ahead of" }
        );
        Ok(match skew.abs() > SKEW {
            true => Finding::warn("clock", says, "synchronise the clock of this machine with NTP"),
            false => Finding::pass("clock", says),
        })
    };
    or_unknown("clock", found.await)
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

async fn one(connection: &mut PgConnection, sql: &str) -> Result<PgRow, Error> {
    raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await
}
