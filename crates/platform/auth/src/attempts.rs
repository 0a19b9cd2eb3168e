//! The limit of failed logins, by account and by address.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use moka::sync::Cache;
use sha2::{Digest, Sha256};

use crate::{Error, Settings};

/// Accounts and addresses that are remembered. Where there are more, the least used are forgotten: some 10 MB.
const MOST: u64 = 100_000;

/// `Retry-After` where other logins are under way, which may succeed.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// Counts failed logins of the last minutes, in this process. A clone shares the counts.
#[derive(Clone, Debug)]
pub struct Attempts {
    counts: Cache<[u8; 16], Arc<Count>>,
    per_account: u32,
    per_address: u32,
    period: Duration,
}

#[derive(Debug)]
struct Count {
    /// Failed ones and those under way.
    attempts: AtomicU32,
    failed: AtomicU32,
    ends: Instant,
}

/// A login under way, counted as a failed one. Dropped unanswered, as where the service was busy, it is not counted.
#[derive(Debug)]
#[must_use]
pub struct Attempt {
    counted: Vec<Arc<Count>>,
}

impl Attempts {
    /// Makes empty counts.
    pub fn new(settings: &Settings) -> Self {
        Self {
            counts: Cache::builder()
                .max_capacity(MOST)
                .time_to_live(settings.attempts_period)
                .build(),
            per_account: settings.attempts_per_account,
            per_address: settings.attempts_per_address,
            period: settings.attempts_period,
        }
    }

    /// Begins a login.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`] where too many of the account, or from the address, have failed.
    pub fn begin(&self, account: &str, address: Option<IpAddr>) -> Result<Attempt, Error> {
        let address = address.map(|address| (key("address", &network(address)), self.per_address));
        let account = Some((key("account", account.as_bytes()), self.per_account));
        let mut attempt = Attempt { counted: Vec::new() };
        for (key, most) in [account, address].into_iter().flatten() {
            let count = self.counts.get_with(key, || {
                Arc::new(Count {
                    attempts: AtomicU32::new(0),
                    failed: AtomicU32::new(0),
                    ends: Instant::now() + self.period,
                })
            });
            let before = count.attempts.fetch_add(1, Ordering::Relaxed);
            attempt.counted.push(count.clone());
            if before >= most {
                let retry_after = match count.failed.load(Ordering::Relaxed) >= most {
                    true => count.ends.saturating_duration_since(Instant::now()),
                    false => UNDER_WAY,
                };
                return Err(Error::TooManyAttempts { retry_after });
            }
        }
        Ok(attempt)
    }
}

impl Attempt {
    /// Notes that the password was wrong.
    pub fn failed(mut self) {
        for count in self.counted.drain(..) {
            count.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that the password was right: earlier mistakes of the account are forgotten.
    pub fn succeeded(self) {
        if let Some(account) = self.counted.first() {
            account.failed.store(0, Ordering::Relaxed);
            // One is left for the drop.
            account.attempts.store(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        for count in &self.counted {
            let _ = count
                .attempts
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |attempts| {
                    attempts.checked_sub(1)
                });
        }
    }
}

/// A key of fixed size, however long the account's name is.
fn key(kind: &str, text: &[u8]) -> [u8; 16] {
    let digest = Sha256::new().chain_update(kind).chain_update(text).finalize();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    key
}

/// An IPv6 client usually has a whole /64.
fn network(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets()[..8].to_vec(),
    }
}
