//! A local issuer that publishes keys.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::web::{self, Data, Json};
use actix_web::{App, HttpResponse, HttpServer};
use serde_json::{Value, json};

use crate::keys::Key;

/// An issuer, whose keys can change, and which can go away.
pub(crate) struct Issuer {
    pub(crate) url: String,
    state: Arc<State>,
    server: ServerHandle,
}

struct State {
    keys: Mutex<Vec<Value>>,
    looks: AtomicUsize,
    discovery: Option<String>,
}

impl Issuer {
    /// With a discovery document, as OpenID Connect has it.
    pub(crate) fn start(keys: &[&Key]) -> Self {
        Self::start_with(keys, true)
    }

    /// Without one, as Supabase.
    pub(crate) fn without_discovery(keys: &[&Key]) -> Self {
        Self::start_with(keys, false)
    }

    fn start_with(keys: &[&Key], discovery: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/auth/v1", listener.local_addr().unwrap());
        let state = Arc::new(State {
            keys: Mutex::default(),
            looks: AtomicUsize::new(0),
            discovery: discovery.then(|| url.clone()),
        });
        let data = Data::from(state.clone());
        let app = move || {
            let well_known = web::scope("/auth/v1/.well-known")
                .route("/openid-configuration", web::get().to(discover))
                .route("/jwks.json", web::get().to(publish));
            App::new().app_data(data.clone()).service(well_known)
        };
        let server = HttpServer::new(app)
            .workers(1)
            .disable_signals()
            .listen(listener)
            .unwrap()
            .run();
        let handle = server.handle();
        tokio::spawn(server);
        let issuer = Self {
            url,
            state,
            server: handle,
        };
        issuer.publish(keys);
        issuer
    }

    pub(crate) fn publish(&self, keys: &[&Key]) {
        *self.state.keys.lock().unwrap() = keys.iter().map(|key| key.public.clone()).collect();
    }

    /// How often its keys were read.
    pub(crate) fn looks(&self) -> usize {
        self.state.looks.load(Ordering::Relaxed)
    }

    pub(crate) async fn go_away(&self) {
        self.server.stop(false).await;
    }
}

async fn discover(state: Data<State>) -> HttpResponse {
    match &state.discovery {
        Some(url) => HttpResponse::Ok().json(json!({
            "issuer": url, "jwks_uri": format!("{url}/.well-known/jwks.json"),
        })),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn publish(state: Data<State>) -> Json<Value> {
    state.looks.fetch_add(1, Ordering::Relaxed);
    Json(json!({ "keys": *state.keys.lock().unwrap() }))
}
