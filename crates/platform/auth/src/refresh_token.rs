//! Refresh tokens: random, stored hashed, used once.
//!
//! Each login begins a family. A refresh spends a token and issues the next one of the family. Where a spent token is
//! used again, two parties have it, and one of them has stolen it: the whole family is revoked.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use berth_database::Session;
use berth_service::new_id;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, Condition};
use sha2::{Digest, Sha256};

use crate::Error;

/// A refresh token that was issued.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refresh_tokens")]
pub struct Model {
    /// The SHA-256 of the token, in base64.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub token_hash: String,
    /// The login that it comes from.
    pub family_id: Uuid,
    /// The user who logged in. No foreign key: the table of users is the service's.
    pub user_id: Uuid,
    /// When it ceases to be valid.
    pub expires_at: DateTimeUtc,
    /// When it was exchanged for the next one.
    pub spent_at: Option<DateTimeUtc>,
}

impl ActiveModelBehavior for ActiveModel {}

/// Issues a token of a new family, and forgets the user's expired ones.
///
/// # Errors
///
/// The database's.
pub async fn issue(
    session: &Session,
    user: Uuid,
    now: DateTime<Utc>,
    lifetime: TimeDelta,
) -> Result<String, Error> {
    Entity::delete_many()
        .filter(
            Condition::all()
                .add(Column::UserId.eq(user))
                .add(Column::ExpiresAt.lt(now)),
        )
        .exec(session)
        .await?;
    insert(session, new_id(), user, now + lifetime).await
}

/// Exchanges a token for the next one of its family, and returns it with the user.
///
/// Commits the session where it finds a spent token, because the revocation must survive the error.
///
/// # Errors
///
/// [`Error::InvalidRefreshToken`] for a token that is unknown, spent, revoked or expired.
pub async fn rotate(
    session: &Session,
    token: &str,
    now: DateTime<Utc>,
    lifetime: TimeDelta,
) -> Result<(Uuid, String), Error> {
    let hash = hash(token);
    let spent = ActiveModel {
        spent_at: Set(Some(now)),
        ..Default::default()
    };
    let valid = Condition::all()
        .add(Column::TokenHash.eq(&hash))
        .add(Column::SpentAt.is_null())
        .add(Column::ExpiresAt.gt(now));
    // One statement, so that of two requests with the same token one finds it spent.
    let spent = Entity::update_many()
        .set(spent)
        .filter(valid)
        .exec_with_returning(session)
        .await?;
    match spent.into_iter().next() {
        Some(row) => {
            let next = insert(session, row.family_id, row.user_id, now + lifetime).await?;
            Ok((row.user_id, next))
        }
        None => {
            if let Some(row) = Entity::find_by_id(hash)
                .one(session)
                .await?
                .filter(|row| row.spent_at.is_some())
            {
                tracing::warn!(user_id = %row.user_id, "a refresh token was used twice: its login has been revoked");
                revoke_family(session, row.family_id).await?;
                session.commit().await?;
            }
            Err(Error::InvalidRefreshToken)
        }
    }
}

/// Revokes the family of a token. An unknown token is not an error: its login has ended already.
///
/// # Errors
///
/// The database's.
pub async fn revoke(session: &Session, token: &str) -> Result<(), Error> {
    match Entity::find_by_id(hash(token)).one(session).await? {
        Some(row) => revoke_family(session, row.family_id).await,
        None => Ok(()),
    }
}

/// Revokes all tokens of a user.
///
/// # Errors
///
/// The database's.
pub async fn revoke_all(session: &Session, user: Uuid) -> Result<(), Error> {
    delete(session, Condition::all().add(Column::UserId.eq(user))).await
}

/// Deletes all expired tokens, for housekeeping. Returns how many.
///
/// # Errors
///
/// The database's.
pub async fn delete_expired(session: &Session, now: DateTime<Utc>) -> Result<u64, Error> {
    let expired = Entity::delete_many().filter(Column::ExpiresAt.lt(now));
    Ok(expired.exec(session).await?.rows_affected)
}

async fn revoke_family(session: &Session, family: Uuid) -> Result<(), Error> {
    delete(session, Condition::all().add(Column::FamilyId.eq(family))).await
}

/// Deletes until there is nothing left: a DELETE that waited for a refresh under way does not see the token that the
/// refresh has issued.
async fn delete(session: &Session, tokens: Condition) -> Result<(), Error> {
    loop {
        let deleted = Entity::delete_many().filter(tokens.clone()).exec(session).await?;
        if deleted.rows_affected == 0 {
            return Ok(());
        }
    }
}

async fn insert(
    session: &Session,
    family: Uuid,
    user: Uuid,
    expires: DateTime<Utc>,
) -> Result<String, Error> {
    let token = random()?;
    let row = ActiveModel {
        token_hash: Set(hash(&token)),
        family_id: Set(family),
        user_id: Set(user),
        expires_at: Set(expires),
        spent_at: Set(None),
    };
    Entity::insert(row).exec_without_returning(session).await?;
    Ok(token)
}

/// 256 random bits.
fn random() -> Result<String, Error> {
    let bytes: [u8; 32] = ring::rand::generate(&ring::rand::SystemRandom::new())
        .map_err(|_| Error::Cryptography("make a random token"))?
        .expose();
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// A fast hash is enough: the token itself cannot be guessed.
pub(crate) fn hash(token: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(token))
}
