//! Free TCP ports, and random numbers for names.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::TcpListener;

/// Finds a free TCP port of the loopback address.
///
/// The port is below the range from which systems choose the ports of outgoing connections, so none of those
/// takes it before it is used. A caller that cannot bind it asks again.
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

/// Returns a random number for names, ports and passwords; the hasher's keys are the system's randomness.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
