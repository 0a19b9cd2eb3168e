//! This service, run for a test.

use actix_web::web::ServiceConfig;
use api::app::{self, Application, MIGRATIONS};
use api::settings::{Settings, sources};
use berth_auth::Mode;
use berth_web::startup;
use berth_web::testing::{Process, Store, TestServer};

/// Starts the service with `config/test.toml` and a share of one connection.
pub(crate) async fn start(store: Store) -> TestServer {
    start_with(store, |_| {}, |_| {}).await
}

/// The same with other settings and more routes.
pub(crate) async fn start_with(
    store: Store,
    adjust: impl FnOnce(&mut Settings),
    routes: fn(&mut ServiceConfig),
) -> TestServer {
    let built_in = sources().built_in;
    let mut loaded = store
        .sources(built_in)
        .load()
        .expect("the settings of tests are known");
    let mut settings = Settings::read(&mut loaded).expect("the settings of tests are valid");
    adjust(&mut settings);
    let database = startup::database(&settings.platform)
        .await
        .expect("the database answers");
    let migrated = startup::migrations(&settings.platform, &database, MIGRATIONS).await;
    migrated.expect("the migrations apply");
    let application = Application::new(&settings, &database).expect("the services start");
    let authorization = match settings.auth.mode {
        Mode::Local => app::authorization(&settings, &database, None).await.ok(),
        Mode::Jwks => None,
    };
    let application = application.with_routes(routes);
    let server = application.bind().expect("a port is free");
    let run = |server, stop| application.run(server, stop);
    let server = TestServer::spawn(server, database, store, run);
    match authorization {
        Some(header) => server.with_authorization(header),
        None => server,
    }
}

/// A database with the schema.
pub(crate) async fn postgres() -> Store {
    let migrate = async |url: String| {
        let settings = berth_database::Settings::for_url(&url).expect("the test kit gives URLs");
        berth_migrate::apply(migration::Migrator, &settings)
            .await
            .expect("the migrations apply");
    };
    Store::postgres("api", migrate).await
}

/// Runs the service's binary in a folder of its own.
pub(crate) fn process(arguments: &[&str], environment: &[(&str, &str)]) -> Process {
    Process::start(env!("CARGO_BIN_EXE_api"), arguments, environment)
}
