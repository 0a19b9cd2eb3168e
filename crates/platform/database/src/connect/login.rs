//! Login: connects to PostgreSQL with address, TLS and password. No other file does.

#![allow(clippy::disallowed_methods, reason = "here connections are counted")]

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgSslMode};
use sqlx::{ConnectOptions, Connection as _, Database, Error as SqlxError};
use tokio::sync::oneshot;

use super::address::AddressChooser;
use super::password::PasswordSource;
use super::tls_relay::{self, PreparedSocket, Relay, Route};
use crate::settings::Settings;

/// How a kind of connection is made from the options, once the way to the server is known.
pub(crate) type Connect<'c, C> =
    &'c (dyn Fn(PgConnectOptions) -> BoxFuture<'static, Result<C, SqlxError>> + Send + Sync);

/// PostgreSQL's port, at which poolers are named in the host's name, as Supabase's are.
const DIRECT_PORT: u16 = 5432;

/// What a login needs; made once from the settings.
#[derive(Debug)]
pub(crate) struct Login {
    options: PgConnectOptions,
    password: Option<PasswordSource>,
    addresses: Arc<AddressChooser>,
    connect_timeout: Duration,
}

impl Login {
    /// # Errors
    /// The URL does not lead to PostgreSQL.
    pub(crate) fn new(settings: &Settings) -> Result<Self, SqlxError> {
        Ok(Self {
            options: options(settings)?,
            password: PasswordSource::of(settings),
            addresses: Arc::default(),
            connect_timeout: settings.connect_timeout,
        })
    }

    pub(crate) fn ssl_mode(&self) -> PgSslMode {
        self.options.get_ssl_mode()
    }

    /// Names its connections in the server's activity view from the start.
    pub(crate) fn application_name(mut self, name: &str) -> Self {
        self.options = self.options.application_name(name);
        self
    }

    /// Opens one connection, without any set-up.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket, which the server detects.
    pub(crate) async fn connect(&self) -> Result<(PgConnection, Relay), SqlxError> {
        self.connect_over(None).await
    }

    /// Opens one connection over a socket that was prepared before, where there is one.
    ///
    /// # Cancel safety
    /// As [`Login::connect`].
    pub(crate) async fn connect_over(
        &self,
        prepared: Option<PreparedSocket>,
    ) -> Result<(PgConnection, Relay), SqlxError> {
        let plain = |options| async move { PgConnection::connect_with(&options).await }.boxed();
        self.connect_as(Route::Fastest, prepared, &plain).await
    }

    /// Prepares the socket of a second connection while the first one logs in, where the URL looks as if a pooler answers.
    ///
    /// Whether one does is found by experiment; a wrong guess costs three round trips, or a line in the log of a server
    /// that waited for a client.
    pub(crate) fn prepare(&self) -> Option<(PreparedSocket, oneshot::Sender<()>)> {
        let may_be_pooler =
            self.options.get_port() != DIRECT_PORT || self.options.get_host().contains("pool");
        may_be_pooler
            .then(|| PreparedSocket::dial(&self.options, &self.addresses))
            .flatten()
    }

    /// Opens one connection in a pool of sqlx, which SeaORM wants, and lets the pool open no other in its place.
    ///
    /// # Cancel safety
    /// As [`Login::connect`].
    pub(crate) async fn connect_for_sea_orm(&self) -> Result<(DatabaseConnection, Relay), SqlxError> {
        let within = self.connect_timeout;
        let pooled = move |options| async move { pool_of_one(within).connect_with(options).await }.boxed();
        match self.connect_as(Route::Fastest, None, &pooled).await {
            // sqlx's pool retries some failures and does not report which.
            Err(SqlxError::PoolTimedOut) => Err(match tokio::time::timeout(within, self.connect()).await {
                Ok(Err(error)) => error,
                Ok(Ok(_)) | Err(_) => SqlxError::PoolTimedOut,
            }),
            Ok((pool, relay)) => {
                let pool = without_successor(pool);
                Ok((SqlxPostgresConnector::from_sqlx_postgres_pool(pool), relay))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens one connection in a pool of sqlx, which its listener wants, and lets the pool open no other in its place.
    ///
    /// # Cancel safety
    /// As [`Login::connect`].
    pub(crate) async fn connect_for_listener(&self) -> Result<(PgPool, Relay), SqlxError> {
        let within = self.connect_timeout;
        let pooled = move |options| async move { pool_of_one(within).connect_with(options).await }.boxed();
        let (pool, relay) = self.connect_as(Route::Relayed, None, &pooled).await?;
        Ok((without_successor(pool), relay))
    }

    /// Connects with the present password; where the server does not accept it and another one can be read, with that.
    async fn connect_as<C>(
        &self,
        route: Route,
        prepared: Option<PreparedSocket>,
        connect: Connect<'_, C>,
    ) -> Result<(C, Relay), SqlxError> {
        let Some(source) = &self.password else {
            return tls_relay::connect(&self.options, &self.addresses, route, prepared, connect).await;
        };
        let password = source.read().await?;
        let with = |password: &str| self.options.clone().password(password);
        match tls_relay::connect(&with(&password), &self.addresses, route, prepared, connect).await {
            Err(error) if is_wrong_password(&error) => {
                let rotated = source.read().await?;
                if rotated == password {
                    return Err(error);
                }
                tls_relay::connect(&with(&rotated), &self.addresses, route, None, connect).await
            }
            result => result,
        }
    }
}

/// Lets a pool open no connection after its first.
fn without_successor(pool: PgPool) -> PgPool {
    pool.set_connect_options(PgConnectOptions::new_without_pgpass().socket("/nonexistent"));
    pool
}

fn is_wrong_password(error: &SqlxError) -> bool {
    let database = error.as_database_error();
    database.is_some_and(|error| error.code().as_deref() == Some("28P01"))
}

/// One connection that no clock ends.
pub(crate) fn pool_of_one<DB: Database>(connect_timeout: Duration) -> PoolOptions<DB> {
    PoolOptions::new()
        .min_connections(0)
        .max_connections(1)
        .acquire_timeout(connect_timeout)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
}

fn options(settings: &Settings) -> Result<PgConnectOptions, SqlxError> {
    let mut options = PgConnectOptions::from_str(settings.url.expose())?
        // A stock PgBouncer refuses clients that send it.
        .extra_float_digits(None)
        .disable_statement_logging();
    // A URL writes an IPv6 address in brackets; neither resolvers nor certificates do.
    let host = options.get_host().to_owned();
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        options = options.host(address);
    }
    if let Some(mode) = settings.url.ssl_mode() {
        options = options.ssl_mode(mode);
    }
    if let Some(file) = &settings.root_certificate {
        options = options.ssl_root_cert(file).ssl_mode(PgSslMode::VerifyFull);
    }
    Ok(options)
}
