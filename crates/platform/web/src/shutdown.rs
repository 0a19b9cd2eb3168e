//! Graceful shutdown: the signals, and closing the database connections.

use berth_database::Database;

use crate::StartError;

/// Waits for SIGTERM (platforms send it), SIGHUP (a terminal that closes), or Ctrl-C.
///
/// A process that was started with SIGHUP ignored, as `nohup` does, keeps ignoring it.
pub async fn requested() {
    let signal = tokio::select! {
        () = terminated() => "SIGTERM",
        () = hung_up() => "SIGHUP",
        _ = tokio::signal::ctrl_c() => "Ctrl-C",
    };
    tracing::info!(
        signal,
        "stopping: no new connections are accepted, running requests may finish"
    );
}

/// Closes every database connection.
///
/// # Errors
///
/// [`StartError::Close`]: a session still held a connection after `database.close_timeout`.
pub async fn close(database: &Database) -> Result<(), StartError> {
    tracing::info!("closing database connections");
    database
        .close(database.settings().close_timeout)
        .await
        .map_err(StartError::Close)?;
    tracing::info!("stopped");
    Ok(())
}

#[cfg(unix)]
async fn terminated() {
    received(tokio::signal::unix::SignalKind::terminate()).await;
}

#[cfg(unix)]
async fn hung_up() {
    if ignores_hangup() {
        std::future::pending::<()>().await;
    }
    received(tokio::signal::unix::SignalKind::hangup()).await;
}

#[cfg(unix)]
async fn received(kind: tokio::signal::unix::SignalKind) {
    match tokio::signal::unix::signal(kind) {
        Ok(mut stream) => drop(stream.recv().await),
        Err(error) => {
            tracing::warn!(error = %error, signal = kind.as_raw_value(), "cannot listen for a signal");
            std::future::pending().await
        }
    }
}

/// Whether the process was started with SIGHUP ignored; Linux lists the ignored signals as a bit mask.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}

#[cfg(not(unix))]
async fn hung_up() {
    std::future::pending().await
}
