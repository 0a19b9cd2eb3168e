//! What a fresh connection costs with TLS and without, and what a relay that sets TCP_NODELAY would change.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use database::Strategy;
use testkit::TestDatabase;
use tokio::net::{TcpStream, UnixListener, UnixStream};

use crate::contenders::{Berth, Contender};
use crate::reads::{CALLERS, prepared, rate};
use crate::report::percentile;

const CONNECTIONS: usize = 100;
const ROUNDS: usize = 3;

pub(crate) async fn run() {
    let server = prepared().await;
    let relay = Relay::start(server.port());
    let contenders = [
        ("without TLS", server.url_with(server.port(), "sslmode=disable")),
        ("with TLS", server.url_with(server.port(), "sslmode=require")),
        ("with TLS, relayed", relay.url(&server)),
    ];
    println!("\ntls: one fresh connection and one lookup, {CONNECTIONS} times one after another, no limiter");
    for (name, url) in &contenders {
        let mut times = fresh(url).await;
        println!(
            "  {name:<18} p50 {:>6.2} ms, p90 {:>6.2} ms",
            percentile(&mut times, 0.5),
            percentile(&mut times, 0.9)
        );
    }
    println!("\ntls: lookups over kept connections, {CALLERS} callers, the best of {ROUNDS} rounds");
    for (name, url) in &contenders {
        let mut best = 0_f64;
        for _ in 0..ROUNDS {
            best = best.max(rate(Berth::new(url, |_| {})).await);
        }
        println!("  {name:<18} {best:>6.0} req/s");
    }
}

async fn fresh(url: &str) -> Vec<Duration> {
    let berth = Berth::new(url, |settings| settings.strategy = Strategy::Fresh);
    let mut times = Vec::new();
    for _ in 0..CONNECTIONS {
        let begun = Instant::now();
        berth.find(1).await.expect("a lookup works");
        times.push(begun.elapsed());
    }
    times
}

/// Passes bytes from a Unix socket to the server's port, over TCP that sends small writes at once.
struct Relay {
    folder: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    fn start(port: u16) -> Self {
        let folder = std::env::temp_dir().join(format!("bench-relay-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let listener = UnixListener::bind(folder.join(format!(".s.PGSQL.{port}"))).expect("a socket");
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, port));
            }
        });
        Self { folder, task }
    }

    fn url(&self, server: &TestDatabase) -> String {
        let options = format!("sslmode=require&host={}", self.folder.display());
        server.url_with(server.port(), &options)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn pass(mut client: UnixStream, port: u16) {
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
    server.set_nodelay(true).expect("a TCP socket");
    let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
