//! Pages of a list on both databases, with a share of one connection.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test reports its failures by panicking"
)]

use std::time::Duration;

use berth_database::{Database, SessionOptions, Settings};
use berth_service::{Error, PageRequest, new_id};
use berth_testkit::Cluster;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ConnectionTrait, EntityTrait, Schema};
use uuid::Uuid;

mod tag {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "tags")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub name: String,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_starts_after_the_last_row_of_the_previous_one_while_rows_come_and_go() {
    on_both_databases(&["a", "b", "c", "d"], async |database, ids| {
        let (names, next) = page(&database, Some(2), None).await.unwrap();
        assert_eq!(names, ["a", "b"]);
        let session = database.session(SessionOptions::new("test").autocommit_reads());
        for id in [ids[1], ids[2]] {
            tag::Entity::delete_by_id(id).exec(&session).await.unwrap();
        }
        session.commit().await.unwrap();
        let last = page(&database, Some(2), next).await.unwrap();
        assert_eq!(last, (vec!["d".to_owned()], None));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_last_page_has_no_next() {
    on_both_databases(&[], async |database, _| {
        assert_eq!(page(&database, None, None).await.unwrap(), (vec![], None));
    })
    .await;
    on_both_databases(&["a", "b"], async |database, _| {
        assert_eq!(page(&database, Some(2), None).await.unwrap().1, None);
        assert!(page(&database, Some(1), None).await.unwrap().1.is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_limit_or_cursor_is_reported_by_name() {
    on_both_databases(&[], async |database, _| {
        for limit in [0, 101, u64::MAX] {
            let refused = page(&database, Some(limit), None).await;
            assert_eq!(invalid_fields(refused), ["limit"]);
        }
        let hyphens = Uuid::now_v7().to_string();
        for cursor in ["", "1", "' or true", &hyphens, &hyphens.to_uppercase()] {
            let refused = page(&database, None, Some(cursor.to_owned())).await;
            assert_eq!(invalid_fields(refused), ["cursor"], "{cursor}");
        }
    })
    .await;
}

/// Runs a test on SQLite and on PostgreSQL, with a table that holds a tag of each name.
async fn on_both_databases(names: &[&str], test: impl AsyncFn(Database, Vec<Uuid>)) {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite://{}/test.sqlite?mode=rwc", folder.path().display());
    run(&file, names, &test).await;
    let postgres = Cluster::shared().await.database().await;
    run(&postgres.url(), names, &test).await;
}

async fn run(url: &str, names: &[&str], test: impl AsyncFn(Database, Vec<Uuid>)) {
    let settings = Settings {
        pool_size: 1,
        max_overflow: 0,
        ..Settings::for_url(url).unwrap()
    };
    let database = Database::new(settings).unwrap();
    let ids = insert(&database, names).await;
    test(database.clone(), ids).await;
    database.close(Duration::from_secs(5)).await.unwrap();
}

/// Makes the table and a tag of each name, and returns their ascending keys.
async fn insert(database: &Database, names: &[&str]) -> Vec<Uuid> {
    let session = database.session(SessionOptions::new("test"));
    let table = Schema::new(session.get_database_backend()).create_table_from_entity(tag::Entity);
    session.execute(&table).await.unwrap();
    let mut ids = Vec::new();
    for name in names {
        let tag = tag::ActiveModel {
            id: Set(new_id()),
            name: Set((*name).to_owned()),
        };
        ids.push(tag.insert(&session).await.unwrap().id);
    }
    session.commit().await.unwrap();
    ids
}

/// Returns the names of a page of tags, and its next cursor.
async fn page(
    database: &Database,
    limit: Option<u64>,
    cursor: Option<String>,
) -> Result<(Vec<String>, Option<String>), Error> {
    let rows = tag::Entity::find().cursor_by(tag::Column::Id);
    let session = database.session(SessionOptions::new("test").autocommit_reads());
    let page = PageRequest { limit, cursor }
        .read(rows, &session, |row| row.id)
        .await?;
    Ok((page.items.into_iter().map(|row| row.name).collect(), page.next))
}

/// Returns the fields that the validation error names.
#[track_caller]
fn invalid_fields<T: std::fmt::Debug>(result: Result<T, Error>) -> Vec<String> {
    match result {
        Err(Error::Validation(fields)) => fields.into_iter().map(|field| field.path).collect(),
        other => panic!("not a validation error: {other:?}"),
    }
}
