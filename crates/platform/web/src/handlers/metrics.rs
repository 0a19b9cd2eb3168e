//! The metrics, for Prometheus.

use actix_web::{HttpResponse, web};

use crate::observability::{CONTENT_TYPE, Metrics};

/// `GET /metrics`
pub async fn metrics(metrics: web::Data<Metrics>) -> HttpResponse {
    match metrics.text() {
        Ok(text) => HttpResponse::Ok().content_type(CONTENT_TYPE).body(text),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}
