//! Runs a command with one PostgreSQL cluster for all of its tests: `testkit-run -- cargo test`.
#![allow(clippy::print_stderr, reason = "a command-line tool prints its usage")]

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;

use berth_testkit::{CLUSTER_VARIABLE, Cluster, ClusterOptions};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = env::args_os().skip(1).skip_while(|word| word == "--");
    let Some(program) = words.next() else {
        eprintln!("usage: testkit-run [--] COMMAND [ARGUMENT]...");
        return ExitCode::from(2);
    };
    match run(program, words.collect()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("testkit-run: {error}");
            ExitCode::from(127)
        }
    }
}

/// Runs the command to its end; by then the cluster has stopped and its files are gone.
async fn run(program: OsString, arguments: Vec<OsString>) -> io::Result<u8> {
    // From here on a signal no longer ends this process: the cluster is stopped first.
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let cluster = Cluster::start(ClusterOptions::for_all_tests()).await;
    let mut command = Command::new(program);
    let mut child = command
        .args(arguments)
        .env(CLUSTER_VARIABLE, cluster.directory())
        .spawn()?;
    let code = wait(&mut child, &mut interrupted, &mut terminated).await;
    drop(cluster);
    code
}

async fn wait(child: &mut Child, interrupted: &mut Signal, terminated: &mut Signal) -> io::Result<u8> {
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status?;
                let code = status.code().unwrap_or(128 + status.signal().unwrap_or(0));
                return Ok(u8::try_from(code).unwrap_or(1));
            }
            _ = interrupted.recv() => forward("INT", child).await?,
            _ = terminated.recv() => forward("TERM", child).await?,
        }
    }
}

/// Passes a signal on. After Ctrl-C in a terminal the child has received it already, which does no harm.
async fn forward(signal: &str, child: &Child) -> io::Result<()> {
    let Some(id) = child.id() else { return Ok(()) };
    let command = format!("kill -{signal} {id}");
    Command::new("sh").args(["-c", &command]).status().await.map(drop)
}
