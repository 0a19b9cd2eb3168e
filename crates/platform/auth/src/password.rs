//! Passwords, hashed with argon2id in a few threads, so that logins leave processors for other requests.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use berth_service::Error as ServiceError;

use crate::hashing::HashingThreads;
use crate::{Error, Settings};

/// The characters of a new password.
const LENGTH: RangeInclusive<usize> = 8..=200;
/// The salt and the output of the hash that is verified for accounts that do not exist: no password has it.
const NO_SALT: &str = "AAAAAAAAAAAAAAAAAAAAAA";
const NO_OUTPUT: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes and verifies passwords. A clone shares the threads and the queue.
///
/// No more than `auth.hashing_threads` hashes are computed at once, and no more than `auth.hashing_queue` callers wait.
/// Callers hold no database connection meanwhile: [`Local`](crate::Local) commits its session before.
#[derive(Clone, Debug)]
pub struct Passwords {
    argon2: Arc<Argon2<'static>>,
    threads: HashingThreads,
    nobody: Arc<str>,
    computed: Arc<AtomicU64>,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Checked {
    /// Whether it is the password.
    pub matches: bool,
    /// Whether the hash was made with weaker parameters than those of the settings.
    pub outdated: bool,
}

impl Passwords {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// [`Error::Cryptography`]: argon2 does not take the parameters, or the system has no threads left.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let (memory, iterations) = (settings.password_memory, settings.password_iterations);
        let params = Params::new(memory, iterations, 1, None);
        let params = params.map_err(|_| Error::Cryptography("hash passwords with these parameters"))?;
        let nobody = format!("$argon2id$v=19$m={memory},t={iterations},p=1${NO_SALT}${NO_OUTPUT}");
        Ok(Self {
            argon2: Arc::new(Argon2::new(Algorithm::Argon2id, Version::V0x13, params)),
            threads: HashingThreads::start(settings.hashing_threads(), settings.hashing_queue)?,
            nobody: nobody.into(),
            computed: Arc::default(),
        })
    }

    /// Hashes a password, as a PHC string.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] where the queue is full.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the queue, nothing is computed. A hash that has begun is computed to its end and keeps its thread.
    pub async fn hash(&self, password: &str) -> Result<String, Error> {
        let (argon2, password) = (self.argon2.clone(), password.to_owned());
        let hashed = self
            .compute(move || argon2.hash_password(password.as_bytes()))
            .await?;
        let hashed = hashed.map_err(|_| Error::Cryptography("hash the password"))?;
        Ok(hashed.to_string())
    }

    /// Hashes the password of a new account, or the new one of an account.
    ///
    /// # Errors
    ///
    /// A validation error for the field `path`, where the password has less than 8 characters or more than 200; as
    /// [`hash`](Self::hash).
    ///
    /// # Cancel safety
    ///
    /// As [`hash`](Self::hash).
    pub async fn hash_new(&self, path: &str, password: &str) -> Result<String, Error> {
        check_length(path, password)?;
        self.hash(password).await
    }

    /// Checks a password. Without a hash, for an account that does not exist, it takes as long and does not match.
    ///
    /// # Errors
    ///
    /// As [`hash`](Self::hash).
    ///
    /// # Cancel safety
    ///
    /// As [`hash`](Self::hash).
    pub async fn check(&self, password: &str, hash: Option<&str>) -> Result<Checked, Error> {
        let outdated = hash.is_some_and(|hash| self.is_outdated(hash));
        let (argon2, password) = (self.argon2.clone(), password.to_owned());
        let hash = hash.unwrap_or(&self.nobody).to_owned();
        let matches = move || argon2.verify_password(password.as_bytes(), hash.as_str()).is_ok();
        Ok(Checked {
            matches: self.compute(matches).await?,
            outdated,
        })
    }

    /// How many hashes were computed since the start.
    pub fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let computed = self.computed.clone();
        let counted = move || {
            computed.fetch_add(1, Ordering::Relaxed);
            work()
        };
        self.threads.compute(counted).await
    }

    fn is_outdated(&self, hash: &str) -> bool {
        let parsed = PasswordHash::new(hash).ok();
        let Some(used) = parsed.and_then(|hash| Params::try_from(&hash).ok()) else {
            return true;
        };
        let wanted = self.argon2.params();
        used.m_cost() < wanted.m_cost() || used.t_cost() < wanted.t_cost()
    }
}

/// Checks the length of a new password, before anything is spent on it.
pub(crate) fn check_length(path: &str, password: &str) -> Result<(), Error> {
    if LENGTH.contains(&password.chars().count()) {
        return Ok(());
    }
    let rule = format!("must have {} to {} characters", LENGTH.start(), LENGTH.end());
    Err(ServiceError::invalid(path, rule).into())
}
