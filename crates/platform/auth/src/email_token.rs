//! Tokens in the links of mails: stored hashed, used once, for one purpose and one address.
//!
//! A token is made from the id of the mail that carries it and from `app.secret`: a mail that is sent twice has the same
//! token, and the plain token is in no table. Without the secret it cannot be guessed.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use berth_database::Session;
use chrono::{DateTime, Utc};
use ring::hmac;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, Condition};
use serde::{Deserialize, Serialize};

use crate::refresh_token::hash;
use crate::{Application, Error};

/// A token that was sent.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "email_tokens")]
pub struct Model {
    /// The SHA-256 of the token, in base64.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub token_hash: String,
    /// The user whose address it is. No foreign key: the table of users is the service's.
    pub user_id: Uuid,
    /// What it is for.
    pub purpose: Purpose,
    /// The address that it was sent to.
    #[sea_orm(column_type = "Text")]
    pub email: String,
    /// When it ceases to be valid.
    pub expires_at: DateTimeUtc,
    /// When it was used, or replaced by a newer one.
    pub spent_at: Option<DateTimeUtc>,
}

impl ActiveModelBehavior for ActiveModel {}

/// What a mail with a token is for.
#[derive(Clone, Copy, Debug, Deserialize, DeriveActiveEnum, EnumIter, Eq, PartialEq, Serialize)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Shows that the address is the user's.
    VerifyEmail,
    /// Sets a new password.
    ResetPassword,
}

/// Makes the tokens.
pub(crate) struct EmailTokens(hmac::Key);

impl EmailTokens {
    pub(crate) fn new(application: &Application) -> Self {
        let secret = application.secret.reveal().as_bytes();
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Returns the token of a mail.
    pub(crate) fn derive(&self, mail: Uuid) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"email token ");
        context.update(mail.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(context.sign())
    }
}

impl std::fmt::Debug for EmailTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmailTokens").finish_non_exhaustive()
    }
}

/// Stores a token, unless it is stored already, and invalidates the user's earlier ones for the purpose. Returns whether the
/// token is valid: one that was used, or replaced, stays invalid.
///
/// # Errors
///
/// The database's.
pub(crate) async fn issue(
    session: &Session,
    token: &str,
    row: Model,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let expired = Condition::all()
        .add(Column::UserId.eq(row.user_id))
        .add(Column::ExpiresAt.lt(now));
    Entity::delete_many().filter(expired).exec(session).await?;
    let (hash, user, purpose) = (hash(token), row.user_id, row.purpose);
    let row = ActiveModel {
        token_hash: Set(hash.clone()),
        ..row.into()
    };
    let unless_stored = OnConflict::column(Column::TokenHash).do_nothing().to_owned();
    let insert = Entity::insert(row).on_conflict(unless_stored);
    if insert.exec_without_returning(session).await? == 0 {
        return Ok(find(session, token, purpose, now).await?.is_some());
    }
    let earlier = Condition::all()
        .add(Column::UserId.eq(user))
        .add(Column::Purpose.eq(purpose))
        .add(Column::TokenHash.ne(hash));
    spend(session, earlier, now).await?;
    Ok(true)
}

/// Finds a token that is valid.
///
/// # Errors
///
/// The database's.
pub(crate) async fn find(
    session: &Session,
    token: &str,
    purpose: Purpose,
    now: DateTime<Utc>,
) -> Result<Option<Model>, Error> {
    Ok(Entity::find()
        .filter(valid(token, purpose, now))
        .one(session)
        .await?)
}

/// Uses a token.
///
/// # Errors
///
/// [`Error::InvalidEmailToken`] for a token that is unknown, used, replaced, expired or for another purpose.
pub(crate) async fn redeem(
    session: &Session,
    token: &str,
    purpose: Purpose,
    now: DateTime<Utc>,
) -> Result<Model, Error> {
    // One statement, so that of two requests with the same token one finds it spent.
    let spent = spend(session, valid(token, purpose, now), now).await?;
    spent.into_iter().next().ok_or(Error::InvalidEmailToken)
}

/// Invalidates all tokens of a user.
///
/// # Errors
///
/// The database's.
pub async fn revoke_all(session: &Session, user: Uuid) -> Result<(), Error> {
    let of_user = Entity::delete_many().filter(Column::UserId.eq(user));
    of_user.exec(session).await?;
    Ok(())
}

/// Deletes the tokens whose time is over, and returns how many.
///
/// # Errors
///
/// The database's.
pub async fn delete_expired(session: &Session, now: DateTime<Utc>) -> Result<u64, Error> {
    let expired = Entity::delete_many().filter(Column::ExpiresAt.lt(now));
    Ok(expired.exec(session).await?.rows_affected)
}

fn valid(token: &str, purpose: Purpose, now: DateTime<Utc>) -> Condition {
    Condition::all()
        .add(Column::TokenHash.eq(hash(token)))
        .add(Column::Purpose.eq(purpose))
        .add(Column::SpentAt.is_null())
        .add(Column::ExpiresAt.gt(now))
}

async fn spend(session: &Session, which: Condition, now: DateTime<Utc>) -> Result<Vec<Model>, Error> {
    let spent = ActiveModel {
        spent_at: Set(Some(now)),
        ..Default::default()
    };
    let update = Entity::update_many()
        .set(spent)
        .filter(which.add(Column::SpentAt.is_null()));
    Ok(update.exec_with_returning(session).await?)
}
