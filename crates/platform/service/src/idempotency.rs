//! Idempotency keys: each is claimed once, and its response is stored in the transaction of the work.

mod migration;

use berth_database::Session;
use chrono::{DateTime, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, Condition, QueryFilter};
use uuid::Uuid;

pub use self::migration::migrations;
use crate::Error;

/// Of this many claims one removes the keys whose time is over.
const CLAIMS_PER_CLEANING: u8 = 64;

/// A request, as its key identifies it.
#[derive(Clone, Debug)]
pub struct KeyedRequest {
    /// The key, with the user whose it is; a hash, since clients choose its length.
    pub key: String,
    /// A keyed hash of what the request asks for, which may contain a password: another request must not have the same
    /// key.
    pub fingerprint: String,
    /// The fingerprint with the secret before the last rotation, which keys from before it have.
    pub previous_fingerprint: Option<String>,
    /// The present time.
    pub now: DateTime<Utc>,
    /// When the work of a claim without an answer can no longer commit, so that the key may be claimed again.
    pub claimed_until: DateTime<Utc>,
    /// When the key is forgotten.
    pub expires_at: DateTime<Utc>,
}

/// What became of a key.
#[derive(Debug)]
pub enum KeyState {
    /// The caller does the work.
    Claimed(Claim),
    /// The work was done before.
    Answered(StoredAnswer),
    /// Another request does the work at present, until this time at the latest.
    Running(DateTime<Utc>),
    /// The key was used for another request.
    Mismatch,
}

/// The right to do the work of a key.
#[derive(Clone, Debug)]
pub struct Claim {
    key: String,
    claim_id: Uuid,
}

/// The answer to a request, to be given again.
#[derive(Clone, Debug)]
pub struct StoredAnswer {
    /// The HTTP status.
    pub status: u16,
    /// What is beside the body, as the caller writes it.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

#[sea_orm::model]
#[derive(Clone, Debug, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_keys")]
struct Model {
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    key: String,
    #[sea_orm(column_type = "Text")]
    fingerprint: String,
    claim_id: Uuid,
    claimed_until: DateTimeUtc,
    #[sea_orm(nullable)]
    status: Option<i32>,
    #[sea_orm(column_type = "Text", nullable)]
    head: Option<String>,
    #[sea_orm(column_type = "VarBinary(StringLen::None)", nullable)]
    body: Option<Vec<u8>>,
    expires_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}

/// Claims the key of a request, or returns what became of it. The caller commits before the work begins, so that nothing
/// is held and concurrent requests see the claim.
///
/// Slot cost: 1, for two statements; it waits for no other request of the key.
///
/// # Errors
///
/// The database's.
pub async fn claim(session: &Session, request: &KeyedRequest) -> Result<KeyState, Error> {
    if let Some(found) = find(session, request).await? {
        return Ok(found);
    }
    let claim_id = Uuid::now_v7();
    if claim_id.as_bytes()[15].is_multiple_of(CLAIMS_PER_CLEANING) {
        let expired = Entity::delete_many().filter(Column::ExpiresAt.lt(request.now));
        expired.exec(session).await?;
    }
    let row = ActiveModel {
        key: Set(request.key.clone()),
        fingerprint: Set(request.fingerprint.clone()),
        claim_id: Set(claim_id),
        claimed_until: Set(request.claimed_until),
        status: Set(None),
        head: Set(None),
        body: Set(None),
        expires_at: Set(request.expires_at),
    };
    let updated = [
        Column::Fingerprint,
        Column::ClaimId,
        Column::ClaimedUntil,
        Column::Status,
        Column::Head,
        Column::Body,
        Column::ExpiresAt,
    ];
    // Another request may have claimed it since the look; only what is over is replaced.
    let replaceable = Condition::any().add(Column::ExpiresAt.lt(request.now)).add(
        Condition::all()
            .add(Column::Status.is_null())
            .add(Column::ClaimedUntil.lt(request.now)),
    );
    let conflict = OnConflict::column(Column::Key)
        .update_columns(updated)
        .action_cond_where(replaceable)
        .to_owned();
    let inserted = Entity::insert(row)
        .on_conflict(conflict)
        .exec_without_returning(session)
        .await?;
    if inserted == 1 {
        return Ok(KeyState::Claimed(Claim {
            key: request.key.clone(),
            claim_id,
        }));
    }
    let found = find(session, request).await?;
    Ok(found.unwrap_or(KeyState::Running(request.claimed_until)))
}

/// Deletes all keys whose time is over, for housekeeping. Returns how many.
///
/// # Errors
///
/// The database's.
pub async fn delete_expired(session: &Session, now: DateTime<Utc>) -> Result<u64, Error> {
    let expired = Entity::delete_many().filter(Column::ExpiresAt.lt(now));
    Ok(expired.exec(session).await?.rows_affected)
}

/// What became of the key, unless it may be claimed.
async fn find(session: &Session, request: &KeyedRequest) -> Result<Option<KeyState>, Error> {
    let found = Entity::find_by_id(&request.key).one(session).await?;
    let Some(row) = found.filter(|row| row.expires_at >= request.now) else {
        return Ok(None);
    };
    if row.status.is_none() && row.claimed_until < request.now {
        return Ok(None);
    }
    if row.fingerprint != request.fingerprint && Some(row.fingerprint) != request.previous_fingerprint {
        return Ok(Some(KeyState::Mismatch));
    }
    Ok(Some(match row.status.map(u16::try_from) {
        Some(Ok(status)) => KeyState::Answered(StoredAnswer {
            status,
            head: row.head.unwrap_or_default(),
            body: row.body.unwrap_or_default(),
        }),
        _ => KeyState::Running(row.claimed_until),
    }))
}

impl Claim {
    /// Stores the answer, in the transaction of the work where it did any.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] where the claim was over and another request has claimed the key: the work must not commit.
    pub async fn store(&self, session: &Session, answer: StoredAnswer) -> Result<(), Error> {
        let columns = ActiveModel {
            status: Set(Some(i32::from(answer.status))),
            head: Set(Some(answer.head)),
            body: Set(Some(answer.body)),
            ..Default::default()
        };
        let stored = Entity::update_many()
            .set(columns)
            .filter(self.own())
            .exec(session)
            .await?;
        match stored.rows_affected {
            0 => Err(Error::Conflict),
            _ => Ok(()),
        }
    }

    /// Gives the key back, so that the request can be sent again.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn release(&self, session: &Session) -> Result<(), Error> {
        Entity::delete_many().filter(self.own()).exec(session).await?;
        Ok(())
    }

    fn own(&self) -> Condition {
        Condition::all()
            .add(Column::Key.eq(&self.key))
            .add(Column::ClaimId.eq(self.claim_id))
            .add(Column::Status.is_null())
    }
}
