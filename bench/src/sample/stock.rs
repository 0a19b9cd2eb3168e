//! The service that one writes first: actix-web, SeaORM's own pool, and the same check of the token.

use std::process::ExitCode;

use actix_web::http::header::AUTHORIZATION;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, error, web};
use berth_auth::{Application, Auth};
use entity::sample::conversation;
use sea_orm::prelude::DateTimeUtc;
use sea_orm::{ConnectOptions, DatabaseConnection, EntityTrait};
use serde::Serialize;
use uuid::Uuid;

use crate::clients::CONNECTIONS;

/// With this variable set, it has so many workers; otherwise as many as actix starts.
pub(super) const WORKERS: &str = "BENCH_WORKERS";

/// Serves one route, `GET /api/v1/conversations/{id}`, with the environment of the real service.
pub(crate) fn serve() -> ExitCode {
    actix_web::rt::System::new().block_on(run()).expect("it serves");
    ExitCode::SUCCESS
}

async fn run() -> std::io::Result<()> {
    let auth = auth();
    let mut options = ConnectOptions::new(variable("DATABASE_URL"));
    options.max_connections(CONNECTIONS).sqlx_logging(false);
    let database = sea_orm::Database::connect(options).await.expect("it connects");
    let port = variable("SERVER_PORT").parse().expect("a port");
    let app = move || {
        App::new()
            .app_data(web::Data::new(auth.clone()))
            .app_data(web::Data::new(database.clone()))
            .route("/api/v1/conversations/{id}", web::get().to(read))
    };
    let server = match std::env::var(WORKERS) {
        Ok(workers) => HttpServer::new(app).workers(workers.parse().expect("a number")),
        Err(_) => HttpServer::new(app),
    };
    server.bind(("127.0.0.1", port))?.run().await
}

async fn read(
    auth: web::Data<Auth>,
    database: web::Data<DatabaseConnection>,
    id: web::Path<Uuid>,
    request: HttpRequest,
) -> actix_web::Result<HttpResponse> {
    let header = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = header.and_then(|header| header.strip_prefix("Bearer "));
    let token = token.ok_or_else(|| error::ErrorUnauthorized("no token"))?;
    let identity = auth.verify(token).await.map_err(error::ErrorUnauthorized)?;
    let found = conversation::Entity::find_by_id(*id)
        .one(database.get_ref())
        .await
        .map_err(error::ErrorInternalServerError)?;
    match found {
        Some(row) if row.owner_id.to_string() == identity.subject() => {
            Ok(HttpResponse::Ok().json(Conversation::from(row)))
        }
        _ => Err(error::ErrorNotFound("not found")),
    }
}

/// The fields of the real service's answer.
#[derive(Serialize)]
struct Conversation {
    id: Uuid,
    title: String,
    is_public: bool,
    is_yours: bool,
    created_at: DateTimeUtc,
    updated_at: DateTimeUtc,
}

impl From<conversation::Model> for Conversation {
    fn from(row: conversation::Model) -> Self {
        Self {
            id: row.id,
            title: row.title,
            is_public: row.is_public,
            is_yours: true,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The check of the real service.
fn auth() -> Auth {
    let settings = super::service::settings(std::env::vars().collect());
    let application = Application {
        name: settings.app.name.clone(),
        secret: settings.app.secret.clone(),
        previous_secret: None,
    };
    Auth::new(&settings.auth, &application).expect("sound settings")
}

fn variable(name: &str) -> String {
    std::env::var(name).expect("set by the measurement")
}
