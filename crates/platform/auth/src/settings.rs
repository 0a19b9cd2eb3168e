//! `[auth]`: who may send requests. `config/default.toml` documents every key.

use std::num::NonZero;
use std::time::Duration;

use berth_settings::{Secret, between, require, seconds};
use garde::Validate;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The settings in `[auth]`.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Who makes the access tokens.
    pub mode: Mode,
    /// Time that an access token of this service is valid.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(10.0, 86_400.0)))]
    pub access_token_lifetime: Duration,
    /// Time that a refresh token is valid.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(60.0, 31_536_000.0)))]
    pub refresh_token_lifetime: Duration,
    /// Memory of one password hash, in KiB.
    #[garde(custom(between(64, 1_048_576)))]
    pub password_memory: u32,
    /// Passes of one password hash over its memory.
    #[garde(custom(between(1, 100)))]
    pub password_iterations: u32,
    /// Passwords that are hashed at once; 0 means half as many as there are processors.
    #[garde(custom(between(0, 64)))]
    pub hashing_threads: usize,
    /// Passwords that wait to be hashed.
    #[garde(custom(between(0, 10_000)))]
    pub hashing_queue: usize,
    /// Failed logins of one account within `attempts_period`.
    #[garde(custom(between(1, 10_000)))]
    pub attempts_per_account: u32,
    /// Failed logins from one address within `attempts_period`.
    #[garde(custom(between(1, 100_000)))]
    pub attempts_per_address: u32,
    /// Time after the first failed login until all are forgotten.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(1.0, 86_400.0)))]
    pub attempts_period: Duration,
    /// Whether only users with a verified address log in.
    pub require_verified_email: bool,
    /// Time that the link of a mail that verifies an address is valid.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(300.0, 2_592_000.0)))]
    pub verify_token_lifetime: Duration,
    /// Time that the link of a mail that resets a password is valid.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(60.0, 86_400.0)))]
    pub reset_token_lifetime: Duration,
    /// Issuers whose tokens are accepted, separated by commas.
    #[garde(custom(issuer_urls))]
    pub issuers: Option<String>,
    /// Audience that a token of an issuer must name.
    pub audience: Option<String>,
    /// Secret of tokens that an issuer signs with HS256.
    #[garde(custom(long_enough))]
    pub secret: Option<Secret>,
    /// Difference between the clocks of an issuer and this machine.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.0, 300.0)))]
    pub leeway: Duration,
    /// Time between two looks at the keys of an issuer.
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(1.0, 86_400.0)))]
    pub keys_refresh: Duration,
    /// Whether requests with a token run as the role in it.
    pub row_level_security: bool,
}

/// Decides who makes the access tokens.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// This service, which keeps the passwords.
    Local,
    /// OIDC issuers, which publish their keys.
    Jwks,
}

/// What the tokens of this service have to do with the rest of it.
#[derive(Clone, Debug)]
pub struct Application {
    /// The name, which is the issuer and the audience of the tokens.
    pub name: String,
    /// Signs the tokens.
    pub secret: Secret,
    /// Signed the tokens before the last rotation; they are valid until they expire.
    pub previous_secret: Option<Secret>,
}

impl Settings {
    /// The issuers, one by one.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        let texts = self.issuers.as_deref().unwrap_or_default().split(',');
        texts.map(str::trim).filter(|text| !text.is_empty())
    }

    /// The number of threads that hash passwords.
    pub(crate) fn hashing_threads(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, NonZero::get);
        match self.hashing_threads {
            0 => (processors() / 2).max(1),
            threads => threads,
        }
    }

    /// The key that is missing for `mode`, with the rule that it breaks.
    pub fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        match self.mode {
            Mode::Local => None,
            Mode::Jwks if self.issuers().next().is_none() => {
                Some(("auth.issuers", "must be set where auth.mode is \"jwks\""))
            }
            Mode::Jwks if self.audience.is_none() => Some((
                "auth.audience",
                "must be set where auth.mode is \"jwks\"; Supabase's is \"authenticated\"",
            )),
            Mode::Jwks => None,
        }
    }
}

impl Default for Settings {
    /// The values of `config/default.toml`.
    fn default() -> Self {
        Self {
            mode: Mode::Local,
            access_token_lifetime: Duration::from_secs(900),
            refresh_token_lifetime: Duration::from_secs(2_592_000),
            password_memory: 19_456,
            password_iterations: 2,
            hashing_threads: 0,
            hashing_queue: 32,
            attempts_per_account: 10,
            attempts_per_address: 100,
            attempts_period: Duration::from_secs(900),
            require_verified_email: false,
            verify_token_lifetime: Duration::from_secs(86_400),
            reset_token_lifetime: Duration::from_secs(3600),
            issuers: None,
            audience: None,
            secret: None,
            leeway: Duration::from_secs(30),
            keys_refresh: Duration::from_secs(300),
            row_level_security: false,
        }
    }
}

fn long_enough(secret: &Option<Secret>, (): &()) -> garde::Result {
    require(
        secret.as_ref().is_none_or(|secret| secret.reveal().len() >= 32),
        "must have at least 32 characters",
    )
}

/// A party that can change the response of an issuer can sign tokens, so its keys are fetched over TLS.
fn issuer_urls(urls: &Option<String>, (): &()) -> garde::Result {
    let mut urls = urls.iter().flat_map(|urls| urls.split(','));
    require(
        urls.all(|url| is_trusted(url.trim())),
        "must be URLs that begin with https://, separated by commas; http:// is allowed for this machine only",
    )
}

fn is_trusted(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(Host::Domain(name))) => name == "localhost",
        ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    }
}
