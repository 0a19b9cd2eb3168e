//! SeaORM's own tests over `Session`: this crate takes the name `sea_orm` and puts sessions in the place of its connections.

extern crate self as sea_orm;

pub use berth_database::{Session as DatabaseConnection, Transaction as DatabaseTransaction};
pub use entity::prelude;
pub use real::*;

pub type DbConn = DatabaseConnection;

pub mod entity {
    pub use real::entity::*;

    pub mod prelude {
        pub use crate::{DatabaseConnection, DbConn};
        pub use real::entity::prelude::*;
    }
}

pub struct Database;

impl Database {
    /// A session of a pool of its own.
    pub async fn connect<C: Into<ConnectOptions>>(options: C) -> Result<DatabaseConnection, DbErr> {
        use berth_database::{Database, SessionOptions, Settings};

        let url = options.into().get_url().to_owned();
        let url = if cfg!(feature = "sqlx-postgres") {
            format!("{url}?sslmode=disable")
        } else {
            let file = std::env::temp_dir().join(format!("{}.sqlite", uuid::Uuid::new_v4()));
            format!("sqlite://{}?mode=rwc", file.display())
        };
        // The suite's own set-up creates databases, which no transaction takes.
        let options = match std::env::var("SESSION").as_deref() {
            Ok("transaction") if !url.contains("/postgres?") => SessionOptions::new("suite"),
            _ => SessionOptions::new("suite").autocommit(),
        };
        let settings = Settings::for_url(&url).expect("the runner's URL");
        Ok(Database::new(settings).expect("the runner's settings").session(options))
    }
}

pub mod common {
    pub mod bakery_chain;
    pub mod bakery_dense;
    pub mod blogger;
    pub mod blogger_legacy;
    pub mod features;
    pub mod film_store;
    pub mod runtime;
    pub mod setup;
    pub use setup::TestContext;
}

