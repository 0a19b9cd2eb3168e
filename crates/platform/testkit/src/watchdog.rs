//! A process that stops a server and removes its files when the test's process ends.
//!
//! Destructors do not run when a process is killed, and statics are never dropped. So servers are children of a
//! small shell process that reads commands from a pipe. When the pipe closes, for any reason, the shell stops the
//! server and removes its directory. It has a process group of its own and ignores signals, so Ctrl-C in the
//! terminal does not interrupt it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

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

/// Owns a directory and at most one server; both are removed when it is dropped or this process ends.
#[derive(Clone, Debug)]
pub(crate) struct Watchdog {
    shell: Arc<Mutex<Shell>>,
    directory: PathBuf,
    user: OsUser,
}

#[derive(Debug)]
struct Shell {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Watchdog {
    /// Makes a directory that only its owner may enter, and starts the process.
    ///
    /// At the end the process sends its server `signal`, waits for it, and removes the directory.
    pub(crate) fn new(kind: &str, signal: &'static str) -> Watchdog {
        let prefix = format!("testkit-{kind}-");
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir();
        let directory = directory
            .expect("the directory for temporary files can be written")
            .keep();
        let user = OsUser::for_directory(&directory);
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "testkit-watchdog"])
            .arg(&directory)
            .arg(signal)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .expect("`sh` can be started");
        let shell = Shell {
            commands: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().expect("its output is a pipe")),
            child,
        };
        Watchdog {
            shell: Arc::new(Mutex::new(shell)),
            directory,
            user,
        }
    }

    /// Makes the user that the server runs as the owner of `path`.
    pub(crate) fn give_to_user(&self, path: &Path) {
        self.user.own(path);
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    ///
    /// When it fails; the message has the log.
    pub(crate) async fn run(&self, command: Vec<OsString>) {
        let status = self.ask(format!("run {}\n", self.words(&command))).await;
        assert!(
            status == "0",
            "{command:?} failed with status {status}:\n{}",
            self.log()
        );
    }

    /// Starts the server and does not wait until it is ready.
    pub(crate) async fn start(&self, command: Vec<OsString>) {
        self.ask(format!("start {}\n", self.words(&command))).await;
    }

    /// Sends `signal` to the server and waits for its end.
    pub(crate) async fn stop(&self, signal: &'static str) {
        self.ask(format!("stop {signal}\n")).await;
    }

    /// Returns the directory that is removed at the end.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns what the server has written so far.
    pub(crate) fn log(&self) -> String {
        fs::read(self.directory.join("log")).map_or_else(
            |error| format!("(no log: {error})"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    fn words(&self, command: &[OsString]) -> String {
        let prefix = self.user.prefix();
        let words = prefix.iter().chain(command).map(|word| quoted(word));
        words.collect::<Vec<_>>().join(" ")
    }

    async fn ask(&self, command: String) -> String {
        let shell = Arc::clone(&self.shell);
        let ask = move || shell.lock().unwrap_or_else(PoisonError::into_inner).ask(&command);
        let answer = tokio::task::spawn_blocking(ask).await;
        answer.expect("the watchdog answers")
    }
}

impl Shell {
    fn ask(&mut self, command: &str) -> String {
        let mut answer = String::new();
        let commands = self.commands.as_mut().expect("open until dropped");
        commands
            .write_all(command.as_bytes())
            .expect("the watchdog reads");
        self.answers.read_line(&mut answer).expect("the watchdog answers");
        answer.trim_end().to_owned()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.commands.take());
        // Waiting fails only for a child that something else waited for, and a destructor cannot report it.
        let _ = self.child.wait();
    }
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_str().expect("paths and arguments of servers are UTF-8");
    format!("'{}'", word.replace('\'', r"'\''"))
}
