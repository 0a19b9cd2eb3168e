//! Composition root: from settings to a server that runs until it is stopped.

use std::future::Future;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Compress, from_fn};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, Error};
use berth_database::{Database, SessionOptions};
use berth_web::handlers::openapi::Document;
use berth_web::handlers::runbook::Runbook;
use berth_web::problem::ProblemTypes;
use berth_web::{
    AppState, Migrations, Server, StartError, identity, middleware, routing, shutdown, startup, telemetry,
};
use migration::Migrator;
use service::Services;

use crate::settings::Settings;
use crate::{handlers, openapi, seed};

/// The schema's migrations, as the platform uses them.
pub const MIGRATIONS: Migrations = Migrations {
    apply: |settings| Box::pin(async move { Ok(berth_migrate::apply(Migrator, &settings).await?) }),
    pending: |session| Box::pin(async move { Ok(berth_migrate::pending(Migrator, &session).await?) }),
};

/// Starts the service, serves until SIGTERM or Ctrl-C, and closes every database connection.
///
/// # Errors
///
/// Anything that keeps it from starting, or from ending with every connection closed.
pub async fn serve(settings: Settings) -> Result<(), StartError> {
    let serve = async |database: &Database, schema| {
        let application = Application::new(&settings, database)?;
        identity::offer(&settings, authorization(&settings, database, None)).await?;
        let server = application.bind()?.with_schema(schema);
        application.run(server, shutdown::requested()).await
    };
    startup::with_schema(&settings.platform, MIGRATIONS, serve).await
}

/// Runs jobs until SIGTERM or Ctrl-C, serves health checks and metrics only, and closes every database connection.
///
/// # Errors
///
/// As [`serve`].
pub async fn work(settings: Settings) -> Result<(), StartError> {
    let work = async |database: &Database, schema| {
        let server = Application::new(&settings, database)?.bind()?.with_schema(schema);
        server.run_worker(shutdown::requested()).await
    };
    startup::with_schema(&settings.platform, MIGRATIONS, work).await
}

/// Prepares the database as [`serve`] does, and returns the header `Authorization` for a user. Fails in production.
pub async fn token(settings: &Settings, email: Option<&str>) -> Result<String, StartError> {
    let token = async |database: &Database| authorization(settings, database, email).await;
    startup::with_database(&settings.platform, MIGRATIONS, token).await
}

/// Fills the database with rows for development, and returns a summary for the developer. Fails in production.
pub async fn seed(settings: &Settings) -> Result<String, StartError> {
    let services = Services::new();
    identity::seed(settings, MIGRATIONS, async |session, passwords| {
        seed::rows(&services, session, passwords).await
    })
    .await
}

/// Returns the header `Authorization` for a user, by default the development user, without a login. Fails in production.
pub async fn authorization(
    settings: &Settings,
    database: &Database,
    email: Option<&str>,
) -> Result<String, StartError> {
    let session = database.session(SessionOptions::new("token"));
    let account = Services::new().users(&session).development_account(email).await;
    identity::authorization(settings, &session, account).await
}

/// The service, ready to take its port.
#[derive(Clone, Debug)]
pub struct Application {
    state: AppState,
    services: Data<Services>,
    followers: Data<crate::sample::Followers>, // sample
    more_routes: fn(&mut ServiceConfig),
}

impl Application {
    /// Makes what requests share.
    ///
    /// # Errors
    ///
    /// A service cannot be set up with these settings.
    pub fn new(settings: &Settings, database: &Database) -> Result<Self, StartError> {
        let state = AppState::new(settings.platform.clone(), database, env!("CARGO_PKG_VERSION"))?;
        let services = Services::new().with_jobs(state.jobs().clone());
        let services = services.with_chat_model(crate::sample::chat_model(&settings.chat_model)?); // sample
        Ok(Self {
            followers: crate::sample::followers(&state), // sample
            state: state
                .with_subjects(Arc::new(services.clone()))
                .with_account_mails(Arc::new(services.clone()))
                .with_registry(services.registry()),
            services: Data::new(services),
            more_routes: |_| {},
        })
    }

    /// Adds routes to the table, for tests that need a handler which misbehaves.
    #[must_use]
    pub fn with_routes(self, more_routes: fn(&mut ServiceConfig)) -> Self {
        Self { more_routes, ..self }
    }

    /// Takes the port.
    ///
    /// # Errors
    ///
    /// The address is not this machine's, or the port is taken.
    pub fn bind(&self) -> Result<Server, StartError> {
        Server::bind(self.state.clone(), MIGRATIONS)
    }

    /// Serves until `stop`, then lets requests under way finish.
    ///
    /// # Errors
    ///
    /// The server failed.
    pub async fn run(
        self,
        server: Server,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), StartError> {
        server.run(move || self.app(), stop).await
    }

    /// One worker's app: first what handlers may ask for, then the routes, then what every request passes through,
    /// the outermost last.
    fn app(
        &self,
    ) -> App<
        impl ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<impl MessageBody + use<>>,
            Error = Error,
            InitError = (),
        > + use<>,
    > {
        let state = &self.state;
        App::new()
            .app_data(self.services.clone())
            .app_data(self.followers.clone()) // sample
            .app_data(Data::new(Document::new(&openapi::api())))
            .app_data(Data::new(Runbook::new(include_str!(
                "../../../docs/troubleshooting.md"
            ))))
            .app_data(Data::new(ProblemTypes::new(openapi::PROBLEM_TYPES)))
            .configure(|app| state.provide(app))
            .configure(self.more_routes)
            .configure(|table| routing::table(table, state, handlers::PREFIX, &handlers::routes()))
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
}
