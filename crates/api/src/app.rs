//! The service put together: from settings to a server that runs until it is told to stop.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Compress, from_fn};
use actix_web::web::{Data, PayloadConfig, ServiceConfig};
use actix_web::{App, HttpServer};
use berth_database::Database;
use service::Services;

use crate::observe::Observer;
use crate::settings::Settings;
use crate::startup::{self, StartError};
use crate::{middleware, routes, shutdown, telemetry};

/// Starts the service, serves until SIGTERM or Ctrl-C, and closes every database connection.
///
/// # Errors
///
/// Anything that keeps it from starting, or from ending with every connection closed.
pub async fn serve(settings: Settings) -> Result<(), StartError> {
    let database = startup::database(&settings).await?;
    let served = serve_on(&database, settings).await;
    served.and(shutdown::close(&database).await)
}

async fn serve_on(database: &Database, settings: Settings) -> Result<(), StartError> {
    startup::migrations(&settings, database).await?;
    let services = Services::new();
    let services = services.with_chat_model(startup::responder(&settings.responder)?); // sample
    let application = Application::new(settings, database.clone(), services);
    application.listen()?.run_until(shutdown::requested()).await
}

/// Everything that requests share.
#[derive(Clone, Debug)]
pub struct Application {
    settings: Arc<Settings>,
    database: Database,
    services: Data<Services>,
    observer: Observer,
    more_routes: fn(&mut ServiceConfig),
}

/// A server whose port is taken: connections are accepted, and answered once it runs.
#[derive(Debug)]
#[must_use]
pub struct Listening {
    address: SocketAddr,
    listener: TcpListener,
    metrics: Option<TcpListener>,
    application: Application,
}

impl Application {
    pub fn new(settings: Settings, database: Database, services: Services) -> Self {
        let settings = Arc::new(settings);
        Self {
            observer: Observer::new(settings.clone(), database.clone()),
            settings,
            database,
            services: Data::new(services),
            more_routes: |_| {},
        }
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
    /// The address is not ours, or somebody else has the port.
    pub fn listen(self) -> Result<Listening, StartError> {
        let address = SocketAddr::new(self.settings.server.host, self.settings.server.port);
        let listen = || {
            let listener = TcpListener::bind(address)?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = listen().map_err(|source| StartError::Listen { address, source })?;
        let metrics = self
            .observer
            .listen()
            .map(|(address, listener)| listener.map_err(|source| StartError::Listen { address, source }));
        Ok(Listening {
            address,
            listener,
            metrics: metrics.transpose()?,
            application: self,
        })
    }

    /// One worker's app. Later wraps are further out.
    fn app(
        &self,
    ) -> App<
        impl ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<impl MessageBody + use<>>,
            Error = actix_web::Error,
            InitError = (),
        > + use<>,
    > {
        App::new()
            .app_data(Data::new(self.database.clone()))
            .app_data(self.services.clone())
            .app_data(Data::new(self.settings.app.clone()))
            .app_data(Data::new(self.settings.server.clone()))
            .app_data(PayloadConfig::new(self.settings.server.body_limit))
            .configure(|app| self.observer.configure(app))
            .configure(self.more_routes)
            .configure(routes::configure)
            .wrap(from_fn(middleware::unit_of_work))
            .wrap(from_fn(middleware::catch_unwind))
            .wrap(from_fn(middleware::boundary))
            .wrap(from_fn(middleware::measure))
            .wrap(Compress::default())
            .wrap(telemetry::request_span())
    }
}

impl Listening {
    /// Where it listens, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics are served, if they have a port of their own.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
            .as_ref()
            .and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `stop`, then lets requests under way finish.
    ///
    /// # Errors
    ///
    /// The server failed.
    pub async fn run_until(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), StartError> {
        let Self {
            address,
            listener,
            metrics,
            application,
        } = self;
        tracing::info!("listening on http://{address}, docs at http://{address}/docs/");
        let observer = application.observer.clone();
        let _watching = observer.watch(metrics).await.map_err(StartError::Serve)?;
        let server = server(listener, application, observer.announce(stop));
        server
            .map_err(|source| StartError::Listen { address, source })?
            .await
            .map_err(StartError::Serve)
    }
}

/// An abandoned HTTP/1 request is dropped rather than served to nobody: its connection comes back at once.
fn server(
    listener: TcpListener,
    application: Application,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<Server> {
    let settings = application.settings.server.clone();
    let mut server = HttpServer::new(move || application.app())
        .h1_allow_half_closed(false)
        .shutdown_timeout(settings.shutdown_timeout.as_secs_f64().ceil() as u64)
        .shutdown_signal(stop);
    if settings.workers > 0 {
        server = server.workers(settings.workers);
    }
    Ok(server.listen(listener)?.run())
}
