//! Asks the service on this machine how it is: a health check that needs no shell and no curl in the image.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use clap::ValueEnum;
use thiserror::Error;

use crate::settings::Server;

/// Both are answered without a wait by a service that is well.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is asked.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Question {
    Ready,
    Live,
}

/// What else than "yes" was the answer.
#[derive(Debug, Error)]
pub enum NotWell {
    #[error("nothing answers at {0}")]
    Silent(SocketAddr, #[source] io::Error),
    #[error("not {0}: {1}")]
    No(Question, String),
}

/// Asks and waits for the answer.
///
/// # Errors
///
/// Any answer but 200, and none.
pub fn ask(server: &Server, what: Question) -> Result<(), NotWell> {
    let address = SocketAddr::new(reachable(server.host), server.port);
    let answer = request(address, what).map_err(|error| NotWell::Silent(address, error))?;
    let status = answer.lines().next().unwrap_or("an empty answer");
    match status.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(NotWell::No(what, status.to_owned())),
    }
}

fn request(address: SocketAddr, what: Question) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET /health/{what} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    // The head says it all; a body of any length is not waited for.
    stream.take(4096).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Where a service that listens at `host` is reached from its own machine.
fn reachable(host: IpAddr) -> IpAddr {
    match host {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Live => "live",
        })
    }
}
