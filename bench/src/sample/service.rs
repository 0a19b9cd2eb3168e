//! Services in processes of their own, and a client that speaks just enough HTTP to cost little.

use std::process::{ExitCode, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use berth_testkit::{Limiter, TestDatabase, free_port};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// With this variable set, this program is a service and not the measurement.
const SERVES: &str = "BENCH_SERVES";
const STOCK: &str = "stock";
/// Opens the pool page.
const TOKEN: &str = "a-token-for-the-bench";
const SECRET: &str = "a secret of thirty-two characters or more";
/// The header `Authorization` of the user who sends the requests.
static AUTHORIZATION: OnceLock<String> = OnceLock::new();

pub(crate) type Setting = (&'static str, &'static str);

/// The services that are compared.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Berth,
    Stock,
}

/// Result of one process in one round.
pub(super) struct Round {
    pub(super) answers: u64,
    took: Duration,
    /// Processor time of the process, over all cores.
    pub(super) processor: Duration,
}

impl Round {
    pub(super) fn rate(&self) -> f64 {
        self.answers as f64 / self.took.as_secs_f64()
    }
}

/// Processor time of one request, in microseconds.
pub(super) fn processor_time(rounds: &[Round]) -> f64 {
    let processor: Duration = rounds.iter().map(|round| round.processor).sum();
    let answers: u64 = rounds.iter().map(|round| round.answers).sum();
    processor.as_micros() as f64 / answers as f64
}

/// Runs this process as the service that the environment names, if it names one.
pub(crate) fn run_as_service() -> Option<ExitCode> {
    match std::env::var(SERVES).ok()?.as_str() {
        STOCK => Some(super::stock::serve()),
        _ => Some(api::command::run()),
    }
}

/// The settings of a service with this environment.
pub(super) fn settings(environment: Vec<(String, String)>) -> api::settings::Settings {
    let mut sources = api::settings::sources();
    sources.environment = environment;
    let mut loaded = sources.load().expect("known settings");
    api::settings::Settings::read(&mut loaded).expect("valid settings")
}

/// Makes a token of the development user, whom the services know: they have the same database and secret.
pub(super) async fn log_in(database: &TestDatabase) {
    let variables = [
        ("APP_ENV", "test"),
        ("DATABASE_URL", &*database.url()),
        ("APP__APP__SECRET", SECRET),
    ];
    let settings = settings(
        variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
    );
    let token = api::app::token(&settings, None).await;
    let token = token.expect("the services have migrated");
    AUTHORIZATION.get_or_init(|| token);
}

/// A service in a process of its own. Dropping it kills it.
pub(super) struct Service {
    pub(super) port: u16,
    process: Child,
    _limiter: Limiter,
}

impl Service {
    pub(super) async fn start(kind: Kind, limiter: Limiter, settings: &[Setting]) -> Self {
        let port = free_port();
        // The file is never read; it is removed when its process ends.
        let log = tempfile::tempfile().expect("a file for its log");
        let process = Command::new(std::env::current_exe().expect("this program"))
            .env(
                SERVES,
                match kind {
                    Kind::Berth => "berth",
                    Kind::Stock => STOCK,
                },
            )
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
            // Counted as in production, and never reached.
            .env("APP__RATE_LIMIT__WINDOW", "1")
            .env("APP__RATE_LIMIT__PER_USER", "1000000")
            .env("APP__RATE_LIMIT__PER_ADDRESS", "1000000")
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

    /// Sends requests with so many clients for so long: GETs of this path, and a POST in five requests if there are
    /// `Writes`.
    pub(super) async fn round(&self, path: &str, clients: usize, length: Duration, writes: Writes) -> Round {
        let (begun, before) = (Instant::now(), self.processor());
        let clients = (0..clients).map(|_| {
            let (port, path) = (self.port, path.to_owned());
            tokio::spawn(async move { Client::new(port).await.load(&path, writes, begun + length).await })
        });
        let clients: Vec<_> = clients.collect();
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

/// Whether some of the requests write.
#[derive(Clone, Copy)]
pub(super) enum Writes {
    None,
    OneInFive,
}

/// A persistent connection.
pub(super) struct Client(BufReader<TcpStream>);

impl Client {
    pub(super) async fn new(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Self(BufReader::new(stream))
    }

    async fn load(mut self, path: &str, writes: Writes, until: Instant) -> u64 {
        let mut answers = 0;
        while Instant::now() < until {
            if matches!(writes, Writes::OneInFive) && answers % 5 == 4 {
                self.post().await;
            } else {
                assert_eq!(self.get(path).await.status, "200");
            }
            answers += 1;
        }
        answers
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        let authorization = authorization_for(path);
        let head = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n{authorization}\r\n\r\n");
        self.send(head.as_bytes()).await
    }

    /// Creates a conversation and returns its path.
    pub(super) async fn post(&mut self) -> String {
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
pub(super) struct Answer {
    status: String,
    location: Option<String>,
}
