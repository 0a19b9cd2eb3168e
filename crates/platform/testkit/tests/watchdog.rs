//! Nothing stays behind, however the process ends that started a server.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its own functions too"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use berth_testkit::{CLUSTER_VARIABLE, Cluster, ClusterOptions, PgBouncer, PgBouncerOptions, eventually};

/// A process that holds servers, and what has to go with it.
struct Holder {
    child: Child,
    directories: Vec<PathBuf>,
    servers: Vec<u32>,
}

impl Holder {
    /// Starts a command that writes the directories of its servers, one a line, and an empty line.
    fn start(command: &mut Command) -> Holder {
        let command = command
            .env_remove(CLUSTER_VARIABLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let lines = lines.filter_map(|line| line.split_once("holds ").map(|(_, rest)| rest.to_owned()));
        let directories: Vec<_> = lines
            .take_while(|line| line != "all")
            .map(PathBuf::from)
            .collect();
        assert!(!directories.is_empty());
        let servers = directories
            .iter()
            .flat_map(|directory| servers_in(directory))
            .collect();
        Holder {
            child,
            directories,
            servers,
        }
    }

    async fn leaves_nothing(&self) {
        assert_eq!(self.servers.len(), self.directories.len());
        for directory in &self.directories {
            eventually(async || !directory.exists()).await;
        }
        for server in &self.servers {
            eventually(async || !is_alive(*server)).await;
        }
    }
}

/// The servers that run on files in `directory`.
fn servers_in(directory: &Path) -> Option<u32> {
    let listing = Command::new("ps")
        .args(["-A", "-ww", "-o", "pid=,args="])
        .output()
        .unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    let directory = directory.to_str().unwrap();
    let serves = |line: &&str| line.contains(directory) && !line.contains("testkit-watchdog");
    listing
        .lines()
        .find(serves)
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
}

fn is_alive(process: u32) -> bool {
    Command::new("ps")
        .args(["-p", &process.to_string()])
        .output()
        .unwrap()
        .status
        .success()
}

fn testkit_run() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testkit-run"));
    command.args(["--", "sh", "-c"]);
    command
}

const HOLD: &str = "echo holds $BERTH_TEST_CLUSTER; echo holds all; cat";

#[tokio::test]
async fn a_run_that_is_killed_leaves_nothing() {
    let mut holder = Holder::start(testkit_run().arg(HOLD));
    holder.child.kill().unwrap();
    holder.leaves_nothing().await;
    holder.child.wait().unwrap();
}

#[tokio::test]
async fn a_run_that_is_terminated_stops_its_command_and_leaves_nothing() {
    let mut holder = Holder::start(testkit_run().arg(HOLD));
    // Waiting would close it, and so end the command.
    let _stdin = holder.child.stdin.take();
    let terminate = format!("kill -TERM {}", holder.child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &terminate])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(holder.child.wait().unwrap().code(), Some(128 + 15));
    holder.leaves_nothing().await;
}

#[tokio::test]
async fn a_run_ends_with_the_status_of_its_command_after_its_cluster() {
    let mut holder =
        Holder::start(testkit_run().arg("echo holds $BERTH_TEST_CLUSTER; echo holds all; cat; exit 7"));
    drop(holder.child.stdin.take());
    assert_eq!(holder.child.wait().unwrap().code(), Some(7));
    assert!(!holder.directories[0].exists());
    holder.leaves_nothing().await;
}

#[tokio::test]
async fn a_test_process_that_is_killed_leaves_nothing() {
    let test = std::env::current_exe().unwrap();
    let mut holder = Holder::start(Command::new(test).args([
        "--exact",
        "a_child_process_holds_its_own_servers",
        "--ignored",
        "--nocapture",
    ]));
    assert_eq!(holder.directories.len(), 2);
    holder.child.kill().unwrap();
    holder.leaves_nothing().await;
    holder.child.wait().unwrap();
}

#[tokio::test]
#[ignore = "the process that the test above kills"]
async fn a_child_process_holds_its_own_servers() {
    let cluster = Cluster::start(ClusterOptions::default()).await;
    let pgbouncer = PgBouncer::start(&cluster, PgBouncerOptions::default()).await;
    println!("holds {}", cluster.directory().display());
    println!("holds {}", pgbouncer.directory().display());
    println!("holds all");
    std::io::stdin().lines().for_each(drop);
}

#[tokio::test]
async fn servers_are_gone_when_their_values_are_dropped() {
    let cluster = Cluster::start(ClusterOptions::default()).await;
    let pgbouncer = PgBouncer::start(&cluster, PgBouncerOptions::default()).await;
    let directories = [cluster.directory().to_owned(), pgbouncer.directory().to_owned()];
    let servers = directories
        .each_ref()
        .map(|directory| servers_in(directory).unwrap());
    drop((pgbouncer, cluster));
    assert!(directories.iter().all(|directory| !directory.exists()));
    assert!(servers.iter().all(|server| !is_alive(*server)));
}

#[tokio::test]
async fn a_run_that_is_killed_while_it_starts_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    for milestone in [
        "log",
        "data/PG_VERSION",
        "data/pg_hba.conf",
        "data/postmaster.pid",
    ] {
        let mut command = testkit_run();
        command
            .arg("cat")
            .env_remove(CLUSTER_VARIABLE)
            .env("TMPDIR", temporary.path());
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        eventually(async || entries(temporary.path()).any(|entry| entry.join(milestone).exists())).await;
        child.kill().unwrap();
        child.wait().unwrap();
        eventually(async || entries(temporary.path()).next().is_none()).await;
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path())
}
