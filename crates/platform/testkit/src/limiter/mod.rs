//! A session-mode limiter: the pooler that a test commands.

mod clock;
mod connection_state;
mod delayed_stream;
mod error_text;
mod fault;
mod listener;
mod options;
mod pooler_kind;
mod relay;
mod serve;
mod state;
mod stream;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

pub use connection_state::Cut;
pub use fault::{Action, ArmedFault, Times, Trigger};
pub use options::{CancelRequests, Certificate, LimiterOptions};
pub use pooler_kind::{Phase, PoolerKind, Refusal};
pub use state::Counts;

use clock::Clock;
use connection_state::Fate;
use listener::{Listener, Order};
use serve::Service;
use state::State;
use stream::{Upstream, acceptor};

use crate::test_database::TestDatabase;

/// A session-mode limiter in front of the server of a database.
///
/// It admits a number of clients and refuses the next, passes everything else on, and breaks the network when
/// told to. It runs on a thread of its own, so it works whatever the test's runtime does, until it is dropped.
#[derive(Debug)]
pub struct Limiter {
    state: Arc<State>,
    door: Listener,
    url: String,
    secure_url: String,
}

impl Limiter {
    /// Starts a limiter in front of the server of `database`; it serves the cluster's other databases as well.
    ///
    /// # Panics
    ///
    /// When it finds no port to listen on.
    pub fn start(database: &TestDatabase, options: LimiterOptions) -> Limiter {
        let place = database.place();
        let state = Arc::new(State::new(Clock::start(), options.limit, options.pooler_kind));
        state.set_phase(options.phase);
        state.set_release_delay(options.release_delay);
        state.set_latency(options.latency);
        let service = Service {
            state: Arc::clone(&state),
            upstream: Upstream {
                port: options.upstream_port.unwrap_or(place.port),
                socket: place.socket_folder().join(format!(".s.PGSQL.{}", place.port)),
            },
            acceptor: acceptor(&place.certificates(), options.certificate == Certificate::Trusted),
            greeting: OnceCell::new(),
        };
        let door = Listener::open(service);
        let authority = place.certificates().authority(true);
        let verified = format!("sslmode=verify-full&sslrootcert={}", authority.display());
        let (url, secure_url) = (
            database.url_at(door.port),
            database.url_with(door.port, &verified),
        );
        Limiter {
            state,
            door,
            url,
            secure_url,
        }
    }

    /// The URL of the database by way of the limiter, without TLS.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The same with TLS, the limiter's certificate verified in full against the cluster's authority.
    pub fn secure_url(&self) -> String {
        self.secure_url.clone()
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.door.port
    }

    /// What it has seen so far.
    pub fn counts(&self) -> Counts {
        self.state.counts()
    }

    /// Starts counting anew, the peak from what is occupied now.
    pub fn reset_counts(&self) {
        self.state.reset_counts();
    }

    /// Changes how many clients have a place; those beyond it stay.
    pub fn set_limit(&self, limit: usize) {
        self.state.set_limit(limit);
    }

    /// Changes whose words a refusal has; those that wait go on waiting.
    pub fn set_pooler_kind(&self, pooler_kind: PoolerKind) {
        self.state.set_pooler_kind(pooler_kind);
    }

    /// Changes when a refusal is sent; `None` is what is usual for the pooler_kind.
    pub fn set_phase(&self, phase: Option<Phase>) {
        self.state.set_phase(phase);
    }

    /// Changes how long a place rests after its client has closed.
    pub fn set_release_delay(&self, delay: Duration) {
        self.state.set_release_delay(delay);
    }

    /// Changes how long bytes travel, each way, from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.state.set_latency(latency);
    }

    /// Has it answer requests for TLS with "no", or not.
    pub fn refuse_tls(&self, refuse: bool) {
        self.state.set_refuses_tls(refuse);
    }

    /// From now on accepts connections and never answers, until [`Limiter::heal`].
    pub fn black_hole_new(&self) {
        self.state.swallow_new();
    }

    /// Lets no byte of the present connections through and closes none, until [`Limiter::heal`]; returns how
    /// many. What was sent in the meantime arrives then.
    pub fn black_hole_existing(&self) -> usize {
        self.state.set_fates(Fate::Silent, false)
    }

    /// The same for those only that have no request under way.
    pub fn black_hole_idle(&self) -> usize {
        self.state.set_fates(Fate::Silent, true)
    }

    /// Whether a client that closes inside a black hole keeps its place, as it does at a real pooler, which
    /// hears nothing of it; until the connection is healed or cut. Default: no.
    pub fn keep_ghosts(&self, keep: bool) {
        self.state.set_keeps_ghosts(keep);
    }

    /// Ends all black holes.
    pub fn heal(&self) {
        self.state.heal();
    }

    /// Cuts all present connections, those in black holes too; returns how many.
    pub fn cut_all(&self, how: Cut) -> usize {
        self.state.set_fates(Fate::Over(how), false)
    }

    /// Stops listening: new connections are refused by the system. Those that are there stay.
    pub async fn go_away(&self) {
        self.door.tell(Order::Away).await;
    }

    /// Listens again, on the same port.
    pub async fn come_back(&self) {
        self.door.tell(Order::Open).await;
    }

    /// Arms a fault, which strikes once, at the first connection where its message passes.
    pub fn arm(&self, trigger: Trigger, action: Action) -> ArmedFault {
        self.arm_times(trigger, action, Times::Once)
    }

    /// Arms a fault that strikes more than once.
    ///
    /// # Panics
    ///
    /// When `action` is [`Action::Error`] and `trigger` is neither a statement nor the startup packet.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use berth_testkit::{Action, Limiter, Refusal, Times, Trigger};
    ///
    /// # fn example(limiter: &Limiter) {
    /// // For ten seconds every login is refused, as by a pooler whose handler exited.
    /// let exited = Refusal::new("XX000", "(EDBHANDLEREXITED) connection to database closed");
    /// limiter.arm_times(Trigger::Startup, Action::Fatal(exited), Times::For(Duration::from_secs(10)));
    ///
    /// // Each third connection logs in and is told to go at its first statement.
    /// let late = Refusal::new("08P01", "server login has been failing");
    /// limiter.arm_times(Trigger::FirstStatement, Action::Fatal(late), Times::Every(3));
    ///
    /// // A statement that reads from another server fails as that server does; the connection goes on.
    /// let foreign = Refusal::new("08006", "could not connect to server \"other\"");
    /// let failed = limiter.arm_times(Trigger::Statement("from foreign_rows"), Action::Error(foreign), Times::Always);
    ///
    /// // Updates take 200 ms longer; deletes wait for `disarm`.
    /// limiter.arm_times(Trigger::Statement("update"), Action::Delay(Duration::from_millis(200)), Times::Always);
    /// limiter.arm_times(Trigger::Statement("delete"), Action::Hold, Times::Always);
    /// limiter.disarm();
    /// assert!(failed.strikes() < 2);
    /// # }
    /// ```
    pub fn arm_times(&self, trigger: Trigger, action: Action, times: Times) -> ArmedFault {
        self.state.faults.arm(trigger, action, times)
    }

    /// Disarms all faults, and passes on what [`Action::Hold`] holds.
    pub fn disarm(&self) {
        self.state.faults.disarm();
    }

    /// Replaces `from` by `to` in the errors that the server sends, as a server in another language would.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(limiter: &berth_testkit::Limiter) {
    /// limiter.translate_errors(
    ///     "cached plan must not change result type",
    ///     "der zwischengespeicherte Plan darf den Ergebnistyp nicht ändern",
    /// );
    /// # }
    /// ```
    pub fn translate_errors(&self, from: &str, to: &str) {
        self.state.faults.translate(from, to);
    }

    /// Sets what becomes of CancelRequests. Default: they are forwarded. [`Counts::cancels`] counts them.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(limiter: &berth_testkit::Limiter) {
    /// limiter.set_cancel_requests(berth_testkit::CancelRequests::Dropped);
    /// // ... a caller leaves in the middle of a statement ...
    /// assert_eq!(limiter.counts().cancels, 1);
    /// # }
    /// ```
    pub fn set_cancel_requests(&self, cancel_requests: CancelRequests) {
        self.state.set_cancel_requests(cancel_requests);
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.state.clock.stop();
    }
}
