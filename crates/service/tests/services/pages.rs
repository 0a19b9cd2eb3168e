//! Pages of a list, on a table that only these tests have.

use sea_orm::{ActiveModelTrait, ActiveValue::Set, ConnectionTrait, EntityTrait, Schema};
use service::{Error, PageRequest};
use uuid::Uuid;

use crate::fixture::{Fixture, invalid_fields, on_both_databases};

mod knot {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "knots")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub name: String,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_begins_after_the_last_row_of_the_one_before_whatever_comes_and_goes() {
    on_both_databases(async |fixture: Fixture| {
        let ids = tie(&fixture, &["a", "b", "c", "d"]).await;
        let first = page(&fixture, Some(2), None).await.unwrap();
        assert_eq!(first.0, ["a", "b"]);
        let gone = fixture.work(async |_, session| {
            knot::Entity::delete_by_id(ids[1]).exec(session).await?;
            Ok(knot::Entity::delete_by_id(ids[2]).exec(session).await?)
        });
        gone.await.unwrap();
        assert_eq!(
            page(&fixture, Some(2), first.1).await.unwrap(),
            (vec!["d".to_owned()], None)
        );
        fixture.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_last_page_has_no_next() {
    on_both_databases(async |fixture: Fixture| {
        tie(&fixture, &[]).await;
        assert_eq!(page(&fixture, None, None).await.unwrap(), (vec![], None));
        fixture.end().await;
    })
    .await;
    on_both_databases(async |fixture: Fixture| {
        tie(&fixture, &["a", "b"]).await;
        assert_eq!(page(&fixture, Some(2), None).await.unwrap().1, None);
        assert!(page(&fixture, Some(1), None).await.unwrap().1.is_some());
        fixture.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_cursors_break_rules_by_name() {
    on_both_databases(async |fixture: Fixture| {
        for limit in [0, 101, u64::MAX] {
            assert_eq!(invalid_fields(page(&fixture, Some(limit), None).await), ["limit"]);
        }
        let hyphens = Uuid::now_v7().to_string();
        for cursor in ["", "1", "' or true", &hyphens, &hyphens.to_uppercase()] {
            let refused = page(&fixture, None, Some(cursor.to_owned())).await;
            assert_eq!(invalid_fields(refused), ["cursor"], "{cursor}");
        }
        fixture.end().await;
    })
    .await;
}

/// Makes the table and a knot of each name, whose keys ascend.
async fn tie(fixture: &Fixture, names: &[&str]) -> Vec<Uuid> {
    let tied = fixture.work(async |_, session| {
        let table = Schema::new(session.get_database_backend()).create_table_from_entity(knot::Entity);
        session.execute(&table).await?;
        let mut ids = Vec::new();
        for name in names {
            let knot = knot::ActiveModel {
                id: Set(berth_service::new_id()),
                name: Set((*name).to_owned()),
            };
            ids.push(knot.insert(session).await?.id);
        }
        Ok(ids)
    });
    tied.await.expect("it can be made")
}

/// The names of a page of knots, and its next cursor.
async fn page(
    fixture: &Fixture,
    limit: Option<u64>,
    cursor: Option<String>,
) -> Result<(Vec<String>, Option<String>), Error> {
    let rows = knot::Entity::find().cursor_by(knot::Column::Id);
    let page = PageRequest { limit, cursor }
        .read(rows, &fixture.reading(), |row| row.id)
        .await?;
    Ok((page.items.into_iter().map(|row| row.name).collect(), page.next))
}
