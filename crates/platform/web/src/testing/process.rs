//! The real binary, in a folder of its own and with nothing set but what a test sets.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};

use tempfile::TempDir;

use super::Client;

/// A run of the binary. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: Option<Lines<BufReader<ChildStdout>>>,
    /// The lines of its log that were read so far.
    pub seen: Vec<String>,
    /// Its working directory.
    pub folder: TempDir,
}

impl Process {
    /// Starts a binary, `env!("CARGO_BIN_EXE_...")`, in a folder of its own with this environment and no other.
    pub fn start(binary: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        restore_hang_up();
        let folder = tempfile::tempdir().expect("the folder for temporary files can be written");
        let mut child = Command::new(binary)
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary was built");
        let log = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
        Self {
            child,
            log: Some(log),
            seen: Vec::new(),
            folder,
        }
    }

    /// Reads the log up to the line with this text.
    #[track_caller]
    pub fn logs(&mut self, text: &str) -> impl Future<Output = String> {
        self.logs_at(text, std::panic::Location::caller())
    }

    async fn logs_at(&mut self, text: &str, place: &'static std::panic::Location<'static>) -> String {
        let line = tokio::time::timeout(Duration::from_secs(30), self.next_with(text)).await;
        line.ok()
            .flatten()
            .unwrap_or_else(|| panic!("no line with {text:?}, at {place}: {:#?}", self.seen))
    }

    /// Waits until it listens, and returns a client of it, with the token that it has logged for developers.
    #[track_caller]
    pub fn listening(&mut self) -> impl Future<Output = Client> {
        let place = std::panic::Location::caller();
        async move {
            let line = self.logs_at("listening on http://", place).await;
            let token = self
                .seen
                .iter()
                .find_map(|line| line.split_once("Authorization: Bearer "));
            let token = token
                .and_then(|(_, rest)| rest.split(['`', '"', ' ']).next())
                .map(str::to_owned);
            let address = line
                .split("http://")
                .nth(1)
                .and_then(|rest| rest.split([',', '"', '/']).next());
            let address = address.expect("the line has an address").parse();
            let client = Client::new(address.expect("the address can be read"));
            match token {
                Some(token) => client.with_token(&token),
                None => client,
            }
        }
    }

    /// Reads the rest of its log and forgets it. A process whose log is read by nothing stops when the pipe is full.
    pub fn discard_log(&mut self) {
        if let Some(mut log) = self.log.take() {
            tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        }
    }

    /// Closes the reading ends of its standard output and standard error.
    pub fn close_output(&mut self) {
        self.log.take();
        self.child.stderr.take();
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it still runs")
    }

    /// Sends it a signal, as in `signal("TERM")`.
    pub async fn signal(&self, name: &str) {
        let pid = self.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await;
        assert!(sent.expect("there is a kill command").success());
    }

    /// The memory that it occupies, in bytes.
    pub fn resident_memory(&self) -> u64 {
        let pid = self.child.id().expect("it still runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc has the process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kilobytes
            .and_then(|number| number.parse::<u64>().ok())
            .expect("a number")
            << 10
    }

    /// Waits for its end, and returns its exit status, its standard error and its log.
    #[track_caller]
    pub fn ended(mut self) -> impl Future<Output = (ExitStatus, String, Vec<String>)> {
        let place = std::panic::Location::caller();
        async move {
            let end = async {
                while let Ok(Some(line)) = self.next_line().await {
                    self.seen.push(line);
                }
                let mut said = String::new();
                let mut stderr = self.child.stderr.take().expect("standard error is piped");
                stderr
                    .read_to_string(&mut said)
                    .await
                    .expect("standard error is text");
                (self.child.wait().await.expect("it can be waited for"), said)
            };
            let end = tokio::time::timeout(Duration::from_secs(30), end).await;
            let (status, said) = end.unwrap_or_else(|_| panic!("it does not end, at {place}"));
            (status, said, self.seen)
        }
    }

    async fn next_line(&mut self) -> std::io::Result<Option<String>> {
        match &mut self.log {
            Some(log) => log.next_line().await,
            None => Ok(None),
        }
    }

    async fn next_with(&mut self, text: &str) -> Option<String> {
        while let Ok(Some(line)) = self.next_line().await {
            self.seen.push(line.clone());
            if line.contains(text) {
                return Some(line);
            }
        }
        None
    }
}

/// Lets children be ended by SIGHUP where this process was started with that ignored, as `nohup` does: what is ignored
/// stays ignored in them, what is handled does not.
fn restore_hang_up() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    if ignored.is_some_and(|mask| mask & 1 == 1) {
        // Installing the handler is what counts; it stays.
        drop(signal(SignalKind::hangup()).expect("the runtime handles signals"));
    }
}
