//! Probes the service on this machine: a health check that needs no shell and no curl in the image.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use clap::ValueEnum;
use thiserror::Error;

use crate::settings::Server;

/// A healthy service answers either probe at once.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Which probe.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ProbeKind {
    /// Ready for requests.
    Ready,
    /// The process responds.
    Live,
}

/// Why the probe failed.
#[derive(Debug, Error)]
pub enum Unhealthy {
    /// No answer came.
    #[error("no answer from {0}")]
    NoAnswer(SocketAddr, #[source] io::Error),
    /// Another status than 200.
    #[error("not {0}: {1}")]
    Status(ProbeKind, String),
}

/// Sends the probe and waits for the answer.
///
/// # Errors
///
/// Another status than 200, and no answer.
pub fn probe(server: &Server, kind: ProbeKind) -> Result<(), Unhealthy> {
    let address = SocketAddr::new(reachable(server.host), server.port);
    let answer = request(address, kind).map_err(|error| Unhealthy::NoAnswer(address, error))?;
    let status = answer.lines().next().unwrap_or("an empty answer");
    match status.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(Unhealthy::Status(kind, status.to_owned())),
    }
}

fn request(address: SocketAddr, kind: ProbeKind) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "GET /health/{kind} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    // The head is enough; the body is not waited for.
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

impl fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Live => "live",
        })
    }
}
