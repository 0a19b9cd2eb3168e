//! When the service is to end, and how it does.

use berth_database::Database;

use crate::StartError;

/// Waits for SIGTERM, which platforms send, or Ctrl-C, which people press.
pub async fn requested() {
    let signal = tokio::select! {
        () = terminated() => "SIGTERM",
        _ = tokio::signal::ctrl_c() => "Ctrl-C",
    };
    tracing::info!(
        signal,
        "stopping: no new connections, requests under way may finish"
    );
}

/// Closes every database connection.
///
/// # Errors
///
/// Somebody held one past the time for closing.
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
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut stream) => drop(stream.recv().await),
        Err(error) => {
            tracing::warn!(error = %error, "SIGTERM cannot be heard; only Ctrl-C stops the service");
            std::future::pending().await
        }
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
