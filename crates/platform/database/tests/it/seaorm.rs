//! SeaORM's own features on `&Session`.

use berth_database::{Error, Outcome};
use futures_util::TryStreamExt;
use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, PaginatorTrait, QueryOrder, Set, SqlErr};

use crate::fixture::{Note, insert, number, statement, test_pool};

mod author {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "authors")]
    pub(crate) struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub name: String,
        #[sea_orm(has_many)]
        pub slots: HasMany<super::book::Entity>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

mod book {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "slots")]
    pub(crate) struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub title: String,
        pub author_id: i32,
        #[sea_orm(belongs_to, from = "author_id", to = "id")]
        pub author: BelongsTo<super::author::Entity>,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

const SHELVES: &str = "
    CREATE TABLE authors (id serial PRIMARY KEY, name text NOT NULL);
    CREATE TABLE slots (id serial PRIMARY KEY, title text NOT NULL, author_id int NOT NULL REFERENCES authors (id))";

#[tokio::test(flavor = "multi_thread")]
async fn graphs_loaders_paginators_cursors_and_streams_work_over_one_connection() {
    let fixture = test_pool(1).await;
    let session = fixture.session("shelves");
    session.execute_unprepared(SHELVES).await.unwrap();
    let mut author = author::ActiveModel::builder().set_name("Tove");
    for number in 1..=25 {
        author
            .slots
            .push(book::ActiveModel::builder().set_title(format!("Volume {number}")));
    }
    let author = author.save(&session).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();

    let reader = fixture.reader();
    let loaded = author::Entity::load()
        .with(book::Entity)
        .one(&reader)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(loaded.slots.len(), 25);
    assert_eq!(author.id.clone().unwrap(), loaded.id);

    let pages = book::Entity::find()
        .order_by_asc(book::COLUMN.id)
        .paginate(&reader, 10);
    assert_eq!(pages.num_pages().await.unwrap(), 3);
    assert_eq!(pages.fetch_page(2).await.unwrap().len(), 5);

    let mut cursor = book::Entity::find().cursor_by(book::Column::Id);
    let first = cursor.first(7).all(&reader).await.unwrap();
    let next = cursor.after(first[6].id).first(7).all(&reader).await.unwrap();
    assert_eq!(next[0].title, "Volume 8");

    let mut rows = book::Entity::find().stream(&reader).await.unwrap();
    let mut seen = 0;
    while rows.try_next().await.unwrap().is_some() {
        seen += 1;
    }
    drop(rows);
    assert_eq!(seen, 25);
    assert_eq!(
        fixture.database.status().slots.leased,
        0,
        "reads hold nothing between statements"
    );

    let writer = fixture.session("writes");
    let missing: Error = book::ActiveModel {
        id: Set(999),
        title: Set("x".into()),
        ..Default::default()
    }
    .update(&writer)
    .await
    .unwrap_err()
    .into();
    assert!(matches!(missing, Error::NotFound), "{missing:?}");
    let duplicate = book::ActiveModel {
        id: Set(1),
        title: Set("x".into()),
        author_id: Set(1),
    }
    .insert(&writer)
    .await;
    assert!(matches!(
        duplicate.unwrap_err().sql_err(),
        Some(SqlErr::UniqueConstraintViolation(_))
    ));
    writer.rollback().await.unwrap();

    let notes = Note::find_by_statement(statement("SELECT 7 AS id", []))
        .all(&reader)
        .await
        .unwrap();
    assert_eq!(notes, [Note { id: 7 }]);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ping_and_transactions_with_async_closures_work_as_on_a_connection_of_seaorm() {
    let fixture = test_pool(1).await;
    let session = fixture.session("closures");
    session.ping().await.unwrap();
    assert_eq!(fixture.database.status().slots.leased, 0, "a ping holds nothing");
    let inserted = session
        .transaction_async::<_, _, sea_orm::DbErr>(async |transaction| {
            insert(transaction, 1).await?;
            transaction.ping().await?;
            let failed = transaction
                .transaction_with_config_async(
                    async |nested| {
                        insert(nested, 2).await?;
                        Err::<(), _>(sea_orm::DbErr::Custom("undone".to_owned()))
                    },
                    None,
                    Some(sea_orm::AccessMode::ReadWrite),
                )
                .await;
            assert!(matches!(failed, Err(sea_orm::TransactionError::Transaction(_))));
            Ok(1)
        })
        .await;
    assert_eq!(inserted.unwrap(), 1);
    let builder = session
        .get_schema_builder()
        .register(author::Entity)
        .register(book::Entity);
    builder.apply(&session).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    assert_eq!(fixture.notes().await, 1);
    assert_eq!(
        number(&fixture.reader(), "SELECT count(*) FROM slots")
            .await
            .unwrap(),
        0
    );
    assert!(session.ping().await.is_err(), "the session has ended");
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_with_a_standard_body_is_created_and_control_around_it_is_refused() {
    let fixture = test_pool(1).await;
    let session = fixture.session("functions");
    let create = "CREATE FUNCTION twice(a int) RETURNS int BEGIN ATOMIC; \
        INSERT INTO notes (id) VALUES (a); SELECT CASE WHEN a > 0 THEN 2 * a END; END";
    session.execute_unprepared(create).await.unwrap();
    let create = create
        .replace("twice", "thrice")
        .replace("BEGIN", "BEGIN /* ; */");
    session.execute_raw(statement(&create, [])).await.unwrap();
    for control in ["COMMIT", "/* x */ ROLLBACK", "-- x\n BEGIN", "SAVEPOINT a"] {
        let sql = format!("{}; {control}", create.replace("thrice", "never"));
        let refused: Error = session.execute_unprepared(&sql).await.unwrap_err().into();
        assert!(matches!(refused, Error::Unsupported(_)), "{control}: {refused:?}");
    }
    assert_eq!(number(&session, "SELECT twice(2) + thrice(3)").await.unwrap(), 10);
    session.end(Outcome::Commit).await.unwrap();
    assert_eq!(fixture.notes().await, 2);
}
