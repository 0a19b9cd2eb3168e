//! Chooses among the addresses of a host, so that one that does not answer delays a connection by 250 ms.
//!
//! The operating system returns a host's addresses in an order of its own, often IPv6 first. One that is black-holed
//! answers neither yes nor no until the attempt's limit ends. So attempts overlap: each begins 250 ms after the one
//! before, or at once when that one failed, and the first that connects wins ("Happy Eyeballs", RFC 8305).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;

/// The time between two attempts (RFC 8305, section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Remembers which of a host's addresses answered last.
#[derive(Debug, Default)]
pub(crate) struct AddressChooser {
    answered: Mutex<Option<IpAddr>>,
}

impl AddressChooser {
    /// Connects to the first address of the host that answers.
    ///
    /// # Errors
    /// The name cannot be resolved, or the last error of all addresses.
    ///
    /// # Cancel safety
    /// Dropping the future drops every attempt.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let addresses = lookup_host((host, port)).await?.collect();
        connect_to_any(addresses).await
    }

    /// Returns the address to connect to, where the host has several; none where it has one.
    ///
    /// The first call tries the addresses; later ones return the one that answered while the name still resolves to it.
    ///
    /// # Errors
    /// As [`AddressChooser::connect`].
    pub(crate) async fn choose(&self, host: &str, port: u16) -> io::Result<Option<IpAddr>> {
        let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
        if addresses.len() < 2 {
            return Ok(None);
        }
        let answered = self.lock().filter(|known| {
            let mut resolved = addresses.iter().map(SocketAddr::ip);
            resolved.any(|address| address == *known)
        });
        if answered.is_some() {
            return Ok(answered);
        }
        Ok(Some(connect_to_any(addresses).await?.peer_addr()?.ip()))
    }

    /// Forgets the address that answered last.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }

    /// Prefers this address from now on.
    pub(crate) fn remember(&self, address: IpAddr) {
        *self.lock() = Some(address);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<IpAddr>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connect_to_any(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = alternated(addresses).into_iter();
    let mut attempts = JoinSet::new();
    let mut failed = io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address");
    loop {
        match waiting.next() {
            Some(address) => drop(attempts.spawn(TcpStream::connect(address))),
            None if attempts.is_empty() => return Err(failed),
            None => {}
        }
        let answer = async { attempts.join_next().await };
        let answer = match waiting.len() {
            0 => answer.await,
            _ => tokio::time::timeout(ATTEMPT_DELAY, answer).await.unwrap_or(None),
        };
        match answer {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => failed = error,
            Some(Err(_)) | None => {}
        }
    }
}

/// The addresses with their families in turn, beginning with that of the first.
fn alternated(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let ipv6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == ipv6_first);
    let mut second = second.into_iter();
    let mut mixed = Vec::new();
    for address in first {
        mixed.push(address);
        mixed.extend(second.next());
    }
    mixed.extend(second);
    mixed
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// A listener whose queue is full: the kernel drops what arrives, so an attempt gets no answer.
    async fn black_hole() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut held = Vec::new();
        while let Ok(stream) =
            tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            held.push(stream.unwrap());
        }
        (address, listener, held)
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_does_not_hold_up_the_next() {
        let (hole, _listener, _held) = black_hole().await;
        let answers = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = answers.local_addr().unwrap();
        let begun = Instant::now();
        let stream = connect_to_any(vec![hole, address]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert!(begun.elapsed() >= ATTEMPT_DELAY, "the first address had its time");
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_followed_by_the_next_at_once() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refuses = closed.local_addr().unwrap();
        drop(closed);
        let (hole, _listener, _held) = black_hole().await;
        let answers = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = connect_to_any(vec![refuses, answers.local_addr().unwrap(), hole])
            .await
            .unwrap();
        assert_eq!(stream.peer_addr().unwrap(), answers.local_addr().unwrap());
        let error = connect_to_any(vec![refuses]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn families_take_turns() {
        let parse =
            |texts: &[&str]| -> Vec<SocketAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let mixed = alternated(parse(&["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1"]));
        assert_eq!(mixed, parse(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "[::3]:1"]));
    }
}
