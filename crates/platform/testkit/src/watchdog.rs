//! A process that outlives ours by as little as it takes to clean up after it.
//!
//! A destructor does not run when a process is killed, and statics are never dropped at all. So servers are the
//! children of a small shell process that reads our orders from a pipe. When the pipe closes, for whatever
//! reason, it stops the server and removes its directory. It has a process group of its own and ignores
//! signals: neither Ctrl-C in the terminal stops it half-way, nor an answer that nobody reads any more.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::port::random;
use crate::user::OsUser;

const SCRIPT: &str = r#"
trap '' HUP INT PIPE TERM
ulimit -c 0
directory=$1 last=$2 pid=
halt() {
    if [ -n "$pid" ]; then kill -"$1" "$pid" && wait "$pid"; fi
    pid=
}
while read -r verb rest; do
    case $verb in
    run) (eval "exec $rest") </dev/null >>"$directory/log" 2>&1; echo $? ;;
    start) (eval "exec $rest") </dev/null >>"$directory/log" 2>&1 & pid=$!; echo 0 ;;
    stop) halt "$rest"; echo 0 ;;
    esac
done
halt "$last"
rm -rf "$directory"
"#;

/// Holds a directory and at most one server; both go when it is dropped or our process ends.
#[derive(Clone, Debug)]
pub(crate) struct Watchdog {
    line: Arc<Mutex<DelayedStream>>,
    directory: PathBuf,
    account: OsUser,
}

#[derive(Debug)]
struct DelayedStream {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Watchdog {
    /// Makes a directory that only its owner may enter, and starts a guardian over it.
    ///
    /// In the end the guardian sends its server `signal`, waits for it, and removes the directory.
    pub(crate) fn new(kind: &str, signal: &'static str) -> Watchdog {
        let directory = env::temp_dir().join(format!("berth-{kind}-{:016x}", random()));
        DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .expect("the directory for temporary files can be written");
        let account = OsUser::for_directory(&directory);
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "testkit-guardian"])
            .arg(&directory)
            .arg(signal)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .expect("`sh` can be started");
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let line = Arc::new(Mutex::new(DelayedStream {
            child,
            orders,
            answers,
        }));
        Watchdog {
            line,
            directory,
            account,
        }
    }

    /// Hands `path` over to the account that the server runs as.
    pub(crate) fn hand_over(&self, path: &Path) {
        self.account.own(path);
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    ///
    /// With the log's end when it fails.
    pub(crate) async fn run(&self, command: Vec<OsString>) {
        let status = self.ask(format!("run {}\n", self.words(&command))).await;
        assert!(
            status == "0",
            "{command:?} failed with status {status}:\n{}",
            self.log()
        );
    }

    /// Starts the server; whether it comes up is the caller's to find out.
    pub(crate) async fn start(&self, command: Vec<OsString>) {
        self.ask(format!("start {}\n", self.words(&command))).await;
    }

    /// Sends `signal` to the server and waits for its end.
    pub(crate) async fn stop(&self, signal: &'static str) {
        self.ask(format!("stop {signal}\n")).await;
    }

    /// What it removes in the end.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the server has written so far.
    pub(crate) fn log(&self) -> String {
        fs::read(self.directory.join("log")).map_or_else(
            |error| format!("(no log: {error})"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    fn words(&self, command: &[OsString]) -> String {
        let words = self
            .account
            .prefix()
            .iter()
            .chain(command)
            .map(|word| quoted(word))
            .collect::<Vec<_>>();
        words.join(" ")
    }

    async fn ask(&self, order: String) -> String {
        let line = Arc::clone(&self.line);
        let talk = move || line.lock().unwrap_or_else(PoisonError::into_inner).talk(&order);
        tokio::task::spawn_blocking(talk)
            .await
            .expect("the talk with the guardian does not panic")
    }
}

impl DelayedStream {
    fn talk(&mut self, order: &str) -> String {
        let mut answer = String::new();
        let orders = self.orders.as_mut().expect("open until dropped");
        orders.write_all(order.as_bytes()).expect("the guardian listens");
        self.answers.read_line(&mut answer).expect("the guardian answers");
        answer.trim_end().to_owned()
    }
}

impl Drop for DelayedStream {
    fn drop(&mut self) {
        drop(self.orders.take());
        // It cannot fail for a child that nobody else waits for, and a destructor has nobody to tell.
        let _ = self.child.wait();
    }
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_str().expect("paths and arguments of servers are UTF-8");
    format!("'{}'", word.replace('\'', r"'\''"))
}
