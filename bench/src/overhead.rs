//! The cost of observability: the real service with logs, metrics and the pool page on, against all of it off.
//!
//! Each variant is a process of its own, because logs belong to a process. All use one server, through a limiter
//! each, and the metrics and the pool page of each are read once a round.

use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use berth_testkit::{Cluster, Limiter, LimiterOptions, TestDatabase, free_port};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const CLIENTS: usize = 8;
const ROUNDS: usize = 240;
const ROUND: Duration = Duration::from_millis(250);
/// With this variable set, this program is the service and not the measurement.
const SERVES: &str = "BENCH_SERVES";
/// Opens the pool page.
const TOKEN: &str = "a-token-for-the-bench";
const SECRET: &str = "a secret of thirty-two characters or more";
/// The header `Authorization` of the user who sends the requests.
static AUTHORIZATION: OnceLock<String> = OnceLock::new();

type Setting = (&'static str, &'static str);

/// The last variant equals the first; their difference is the error of the measurement.
const VARIANTS: [(&str, &[Setting]); 4] = [
    ("all off", &[LOG_OFF, MONITOR_OFF, METRICS_OFF]),
    ("all on", &[]),
    ("and a line each", &[LOG_ALL]),
    ("all off again", &[LOG_OFF, MONITOR_OFF, METRICS_OFF]),
];
const LOG_OFF: Setting = ("LOG_LEVEL", "off");
/// A log line for each successful request, which production omits.
const LOG_ALL: Setting = ("LOG_LEVEL", "info");
const MONITOR_OFF: Setting = ("APP__MONITOR__ENABLED", "false");
const METRICS_OFF: Setting = ("APP__METRICS__ENABLED", "false");

/// Returns whether this process is the service.
pub(crate) fn serves() -> bool {
    std::env::var_os(SERVES).is_some()
}

pub(crate) async fn run() {
    let database = Cluster::shared().await.database().await;
    let mut services = Vec::new();
    for (name, settings) in VARIANTS {
        services.push((name, Service::start(&database, settings).await));
    }
    let authorization = authorization(&database).await;
    AUTHORIZATION.get_or_init(|| authorization);
    let conversation = Client::new(services[0].1.port).await.post().await;
    for (title, writes) in [("GET of one conversation", false), ("four GETs and a POST", true)] {
        let mut results = [const { Vec::new() }; VARIANTS.len()];
        for round in 0..ROUNDS {
            // Each variant is first in turn, because the first one runs on a machine that the others left busy.
            for offset in 0..services.len() {
                let at = (round + offset) % services.len();
                results[at].push(services[at].1.round(&conversation, writes).await);
            }
        }
        println!("\noverhead: {title}, {CLIENTS} clients, {ROUNDS} rounds in turn");
        for ((name, _), rounds) in services.iter().zip(&results) {
            report(name, rounds, &results[0]);
        }
    }
}

/// A token of the development user, whom the services know: they have the same database and secret.
async fn authorization(database: &TestDatabase) -> String {
    let variables = [
        ("APP_ENV", "test"),
        ("DATABASE_URL", &*database.url()),
        ("APP__APP__SECRET", SECRET),
    ];
    let mut sources = api::settings::sources();
    sources.environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let mut loaded = sources.load().expect("known settings");
    let settings = api::settings::Settings::read(&mut loaded).expect("valid settings");
    api::app::token(&settings, None).await.expect("the services have migrated")
}

/// Result of one process in one round.
struct Round {
    answers: u64,
    took: Duration,
    /// Processor time of the process, over all cores.
    processor: Duration,
}

impl Round {
    fn rate(&self) -> f64 {
        self.answers as f64 / self.took.as_secs_f64()
    }
}

/// Prints the mean of all rounds, and the median of the ratios to the reference's round of the same number: load by
/// other processes affects both.
fn report(name: &str, rounds: &[Round], reference: &[Round]) {
    let rates = |rounds: &[Round]| rounds.iter().map(Round::rate).collect::<Vec<_>>();
    let mean = |rounds| rates(rounds).iter().sum::<f64>() / ROUNDS as f64;
    let pairs = rounds.iter().zip(reference);
    let ratio = median(pairs.map(|(ours, theirs)| ours.rate() / theirs.rate()).collect());
    let processor: Duration = rounds.iter().map(|round| round.processor).sum();
    let answers: u64 = rounds.iter().map(|round| round.answers).sum();
    println!(
        "  {name:<27} mean {:>6.0} req/s ({:.3}), median {:>6.0} ({ratio:.3}), {:>4.0} µs of processor time a request",
        mean(rounds),
        mean(rounds) / mean(reference),
        median(rates(rounds)),
        processor.as_micros() as f64 / answers as f64,
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The service in a process of its own. Dropping it kills it.
struct Service {
    port: u16,
    process: Child,
    _limiter: Limiter,
}

impl Service {
    async fn start(database: &TestDatabase, settings: &[Setting]) -> Self {
        let limiter = Limiter::start(database, LimiterOptions::limit(15));
        let port = free_port();
        // The file is never read; it is removed when its process ends.
        let log = tempfile::tempfile().expect("a file for its log");
        let process = Command::new(std::env::current_exe().expect("this program"))
            .env(SERVES, "1")
            .env("APP_ENV", "production")
            .env("DATABASE_URL", limiter.url())
            .env("SERVER_HOST", "127.0.0.1")
            .env("SERVER_PORT", port.to_string())
            .env("DB_POOLER", "session")
            .env("DB_INSTANCES", "1")
            .env("APP__APP__SECRET", SECRET)
            .env("AUTH_MODE", "local")
            .env("APP__DEBUG__TOKEN", TOKEN)
            .env("APP__STARTUP__MIGRATE", "apply")
            .envs(settings.iter().copied())
            .stdout(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()
            .expect("this program starts");
        let service = Self {
            port,
            process,
            _limiter: limiter,
        };
        berth_testkit::eventually_within(Duration::from_secs(60), async || {
            TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await;
        service
    }

    async fn round(&self, conversation: &str, writes: bool) -> Round {
        let (begun, before) = (Instant::now(), self.processor());
        let clients = (0..CLIENTS).map(|_| {
            let (port, conversation) = (self.port, conversation.to_owned());
            tokio::spawn(async move {
                Client::new(port)
                    .await
                    .load(&conversation, writes, begun + ROUND)
                    .await
            })
        });
        let clients: Vec<_> = clients.collect();
        let mut observer = Client::new(self.port).await;
        observer.get("/metrics").await;
        observer.get("/debug/db-pool").await;
        let mut answers = 0;
        for client in clients {
            answers += client.await.expect("no client panics");
        }
        Round {
            answers,
            took: begun.elapsed(),
            processor: self.processor().saturating_sub(before),
        }
    }

    /// Returns the processor time of its threads so far, which Linux counts in hundredths of a second; elsewhere 0.
    fn processor(&self) -> Duration {
        let stat = format!("/proc/{}/stat", self.process.id().expect("it runs"));
        let stat = std::fs::read_to_string(stat).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = fields
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Duration::from_millis(ticks * 10)
    }
}

/// A persistent connection that speaks just enough HTTP to cost little.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn new(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Self(BufReader::new(stream))
    }

    async fn load(mut self, conversation: &str, writes: bool, until: Instant) -> u64 {
        let mut answers = 0;
        while Instant::now() < until {
            if writes && answers % 5 == 4 {
                self.post().await;
            } else {
                assert_eq!(self.get(conversation).await.status, "200");
            }
            answers += 1;
        }
        answers
    }

    async fn get(&mut self, path: &str) -> Answer {
        let authorization = authorization_for(path);
        let head = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n{authorization}\r\n\r\n");
        self.send(head.as_bytes()).await
    }

    /// Creates a conversation and returns its path.
    async fn post(&mut self) -> String {
        let body = r#"{"title":"measured"}"#;
        let (length, authorization) = (body.len(), authorization_for("/api"));
        let request = format!(
            "POST /api/v1/conversations HTTP/1.1\r\nhost: bench\r\n{authorization}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let answer = self.send(request.as_bytes()).await;
        assert_eq!(answer.status, "201");
        answer.location.expect("a location")
    }

    async fn send(&mut self, request: &[u8]) -> Answer {
        self.0
            .get_mut()
            .write_all(request)
            .await
            .expect("it takes a request");
        let (mut answer, mut length) = (Answer::default(), 0);
        let mut line = String::new();
        loop {
            line.clear();
            self.0.read_line(&mut line).await.expect("it answers");
            let Some((name, value)) = line.trim_end().split_once(' ') else {
                break;
            };
            match name {
                "HTTP/1.1" => answer.status = value[..3].to_owned(),
                "content-length:" => length = value.parse().expect("a number"),
                "location:" => answer.location = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.expect("a whole body");
        answer
    }
}

/// The pool page has a token of its own.
fn authorization_for(path: &str) -> String {
    match AUTHORIZATION.get() {
        Some(header) if path.starts_with("/api") => header.clone(),
        _ => format!("Authorization: Bearer {TOKEN}"),
    }
}

#[derive(Default)]
struct Answer {
    status: String,
    location: Option<String>,
}
