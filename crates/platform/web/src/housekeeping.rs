//! Deletes the platform's rows whose time is over, as a job of the schedule.

use berth_jobs::{Housekeeping, Registry};
use chrono::Utc;

use crate::Settings;

/// Adds the job and its schedule to a registry.
pub(crate) fn register(settings: &Settings, registry: Registry) -> Registry {
    let housekeeping = Housekeeping::new(&settings.jobs)
        .with("refresh tokens", |session| {
            Box::pin(async move { Ok(berth_auth::refresh_token::delete_expired(session, Utc::now()).await?) })
        })
        .with("e-mail tokens", |session| {
            Box::pin(async move { Ok(berth_auth::email_token::delete_expired(session, Utc::now()).await?) })
        })
        .with("idempotency keys", |session| {
            Box::pin(
                async move { Ok(berth_service::idempotency::delete_expired(session, Utc::now()).await?) },
            )
        });
    housekeeping.register(registry)
}
