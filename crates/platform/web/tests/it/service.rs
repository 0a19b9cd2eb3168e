//! A service with no routes but the platform's own and those that a test adds.

use actix_web::App;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Compress, from_fn};
use actix_web::web::{self, Data, ServiceConfig, resource};
use berth_database::Database;
use berth_settings::{BuiltIn, Sources, built_in};
use berth_web::handlers::openapi::{Document, with_platform};
use berth_web::handlers::{debug, docs, health, home, not_found, openapi, problem_type};
use berth_web::problem::ProblemTypes;
use berth_web::routing::{self, get};
use berth_web::testing::{Store, TestServer};
use berth_web::{AppState, Migrations, Server, Settings, identity, middleware, startup, telemetry};
use sea_orm::ConnectionTrait;
use utoipa::openapi::OpenApiBuilder;

pub(crate) const BUILT_IN: BuiltIn = built_in!("../../../../../config");

/// One migration: the table `schema_is_there`.
pub(crate) const MIGRATIONS: Migrations = Migrations {
    apply: |_| Box::pin(async { Ok(Vec::new()) }),
    pending: |session| {
        Box::pin(async move {
            let found = session.execute_unprepared("select 1 from schema_is_there").await;
            Ok(found
                .err()
                .map(|_| "schema_is_there".to_owned())
                .into_iter()
                .collect())
        })
    },
};

/// A database whose migrations are applied.
pub(crate) async fn postgres() -> Store {
    Store::postgres("web", migrate).await
}

pub(crate) async fn migrate(url: String) {
    let database = Database::new(berth_database::Settings::for_url(&url).unwrap()).unwrap();
    let session = database.background("schema");
    session
        .execute_unprepared("create table schema_is_there (id integer)")
        .await
        .unwrap();
    session.end(berth_database::Outcome::Commit).await.unwrap();
    database.close(std::time::Duration::from_secs(5)).await.unwrap();
}

pub(crate) fn settings(sources: &Sources) -> Settings {
    let mut loaded = sources.load().expect("the settings of tests are known");
    Settings::read(&mut loaded).expect("the settings of tests are valid")
}

/// Starts the service with these routes beside the platform's own.
pub(crate) async fn start(
    store: Store,
    adjust: impl FnOnce(&mut Settings),
    routes: fn(&mut ServiceConfig),
) -> TestServer {
    let mut settings = settings(&store.sources(BUILT_IN));
    settings.health.require_migrations = false;
    adjust(&mut settings);
    serve(settings, store, routes).await
}

pub(crate) async fn serve(
    settings: Settings,
    kept: impl std::any::Any + Send + Sync,
    routes: fn(&mut ServiceConfig),
) -> TestServer {
    let database = startup::database(&settings).await.expect("the database answers");
    let state =
        AppState::new(settings, &database, env!("CARGO_PKG_VERSION")).expect("the settings are valid");
    let server = Server::bind(state.clone(), MIGRATIONS).expect("a port is free");
    let run = |server: Server, stop| server.run(move || app(&state, routes), stop);
    TestServer::spawn(server, database, kept, run)
}

fn app(
    state: &AppState,
    routes: fn(&mut ServiceConfig),
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = actix_web::Error,
        InitError = (),
    > + use<>,
> {
    let document = with_platform(OpenApiBuilder::new().build());
    App::new()
        .app_data(Data::new(Document::new(&document)))
        .app_data(Data::new(ProblemTypes::new(&[])))
        .configure(|app| state.provide(app))
        .configure(routes)
        .configure(|table| table_of(table, state))
        .wrap(from_fn(middleware::unit_of_work))
        .wrap(from_fn(middleware::rate_limit))
        .wrap(from_fn(identity::identify))
        .wrap(from_fn(middleware::catch_unwind))
        .wrap(from_fn(middleware::request_limits))
        .wrap(Compress::default())
        .wrap(middleware::cors(state))
        .wrap(from_fn(middleware::error_response))
        .wrap(from_fn(middleware::access_log))
        .wrap(from_fn(middleware::request_metrics))
        .wrap(telemetry::request_span())
}

fn table_of(table: &mut ServiceConfig, state: &AppState) {
    if state.serves_metrics() {
        table.configure(routing::metrics);
    }
    table
        .service(resource("/").route(get(home)))
        .service(resource("/health").route(get(health::health)))
        .service(resource("/health/live").route(get(health::live)))
        .service(resource("/health/ready").route(get(health::ready)))
        .service(resource("/health/db-pool").route(get(health::pool)))
        .service(resource("/debug/db-pool").route(get(debug::pool)))
        .service(resource("/problems/{name}").route(get(problem_type)))
        .service(resource("/api/openapi.json").route(get(openapi::document)))
        .service(resource("/docs").route(get(docs)))
        .service(resource("/docs/{file:.*}").route(get(openapi::page)))
        .default_service(web::to(not_found));
}
