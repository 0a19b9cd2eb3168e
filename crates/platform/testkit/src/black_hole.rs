//! An address at which connection attempts get no answer.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// An address that drops every connection attempt, as a firewall or a vanished host does.
///
/// It listens with the shortest queue, fills it and accepts nothing, so the system drops what comes after.
///
/// # Examples
///
/// ```no_run
/// # async fn example() {
/// let hole = berth_testkit::BlackHole::open("127.0.0.2:0").await;
/// let attempt = tokio::net::TcpStream::connect(hole.address());
/// let attempt = tokio::time::timeout(std::time::Duration::from_millis(100), attempt).await;
/// assert!(attempt.is_err(), "neither accepted nor refused");
/// # }
/// ```
#[derive(Debug)]
pub struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    /// Opens a black hole at an address of this machine; port 0 is any free one.
    ///
    /// # Panics
    ///
    /// When the address is not one, is taken, or goes on accepting connections.
    pub async fn open(address: &str) -> BlackHole {
        let address: SocketAddr = address.parse().expect("an address and a port");
        let listener = listen(address).expect("an address of this machine with a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let mut queue = Vec::new();
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            queue.push(connected.expect("the listener's queue takes a connection or drops it"));
            assert!(queue.len() < 100, "the system queues connections without end");
        }
        BlackHole {
            address,
            _listener: listener,
            _queue: queue,
        }
    }

    /// Returns the address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.bind(address)?;
    socket.listen(0)
}
