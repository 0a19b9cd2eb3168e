//! A user, who owns rows of other tables.

use sea_orm::entity::prelude::*;

/// A person who signs in.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    #[sea_orm(column_type = "Text")]
    pub name: String,
    /// In lower case, so that it is unique whatever its case. A user of an issuer has none: the token has it.
    #[sea_orm(column_type = "Text", nullable, unique)]
    pub email: Option<String>,
    /// A PHC string. A user of an issuer, and the development user, have no password.
    #[sea_orm(column_type = "Text", nullable)]
    pub password_hash: Option<String>,
    /// The claim `role` of the user's tokens.
    #[sea_orm(column_type = "Text")]
    pub role: String,
    /// The identity provider that knows the user, and by which name.
    #[sea_orm(column_type = "Text", nullable, unique_key = "issuer_subject")]
    pub issuer: Option<String>,
    #[sea_orm(column_type = "Text", nullable, unique_key = "issuer_subject")]
    pub subject: Option<String>,
    /// When the user has shown that the address is the user's own.
    pub email_verified_at: Option<DateTimeUtc>,
    pub created_at: DateTimeUtc,
    pub updated_at: DateTimeUtc,
}

impl ActiveModelBehavior for ActiveModel {}
