//! Ports nobody listens on.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::TcpListener;

/// Finds a TCP port of the loopback address that nobody uses.
///
/// The port lies below the range from which systems pick the ports of outgoing connections, so that none of
/// those takes it between this look and its use. Whoever then fails to bind it asks again.
///
/// # Panics
///
/// When a thousand random ports in a row are taken.
pub fn free_port() -> u16 {
    (0..1000)
        .map(|_| 15_000 + u16::try_from(random() % 17_000).expect("below 17 000"))
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .expect("a free port between 15000 and 32000 on 127.0.0.1")
}

/// A random number for names, ports and passwords; the hasher's keys come from the system's randomness.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
