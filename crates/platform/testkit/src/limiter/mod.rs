//! A session-mode limiter: a small pooler with faults, controlled by the test.

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
mod timer;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

pub use connection_state::Cut;
pub use fault::{Action, ArmedFault, Times, Trigger};
pub use options::{CancelRequests, LimiterOptions, TlsSupport};
pub use pooler_kind::{Phase, PoolerKind, Refusal};
pub use state::Counts;

use connection_state::LinkState;
use listener::{Command, Listener};
use serve::Service;
use state::{Connections, State};
use stream::Upstream;
use timer::Timer;

use crate::certificates::Certificate;
use crate::pgbouncer::PgBouncer;
use crate::test_database::TestDatabase;

/// A session-mode limiter in front of the server of a database.
///
/// It admits a number of clients, refuses the next, passes everything else on, and simulates faults of the network
/// and the server. It runs on a thread of its own, so a busy runtime does not slow it down.
#[derive(Debug)]
pub struct Limiter {
    state: Arc<State>,
    listener: Listener,
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
        Limiter::start_before(database, database.info().port, options)
    }

    /// Starts a limiter in front of a PgBouncer, to which `database` is known, as a network with latency and TLS.
    ///
    /// # Panics
    ///
    /// As [`Limiter::start`].
    pub fn before_pgbouncer(
        pgbouncer: &PgBouncer,
        database: &TestDatabase,
        options: LimiterOptions,
    ) -> Limiter {
        Limiter::start_before(database, pgbouncer.port(), options)
    }

    fn start_before(database: &TestDatabase, port: u16, options: LimiterOptions) -> Limiter {
        let info = database.info();
        let certificate = options.certificate;
        let state = Arc::new(State::new(Timer::start(), options));
        let service = Service {
            state: Arc::clone(&state),
            upstream: Upstream {
                port,
                socket: info.socket_folder().join(format!(".s.PGSQL.{}", info.port)),
            },
            acceptor: info.certificates().acceptor(certificate),
            greeting: OnceCell::new(),
        };
        let listener = Listener::open(service);
        let authority = info.certificates().authority(Certificate::Trusted);
        let verified = format!("sslmode=verify-full&sslrootcert={}", authority.display());
        let (url, secure_url) = (
            database.url_at(listener.port),
            database.url_with(listener.port, &verified),
        );
        Limiter {
            state,
            listener,
            url,
            secure_url,
        }
    }

    /// Returns the URL of the database through the limiter, without TLS.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Returns the same with TLS; the client verifies the limiter's certificate against the cluster's authority.
    pub fn secure_url(&self) -> String {
        self.secure_url.clone()
    }

    /// Returns the port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.listener.port
    }

    /// Returns what it has counted so far.
    pub fn counts(&self) -> Counts {
        self.state.counts()
    }

    /// Resets the counts; the peak starts at the slots that are occupied now.
    pub fn reset_counts(&self) {
        self.state.reset_counts();
    }

    /// Sets how many clients have a slot at once; those that have one keep it.
    pub fn set_limit(&self, limit: usize) {
        self.state.change(|settings| settings.options.limit = limit);
    }

    /// Sets which pooler's refusal is sent; clients that wait go on waiting.
    pub fn set_pooler_kind(&self, pooler_kind: PoolerKind) {
        self.state
            .change(|settings| settings.options.pooler_kind = pooler_kind);
    }

    /// Sets when a refusal is sent; `None` is as the pooler does.
    pub fn set_phase(&self, phase: Option<Phase>) {
        self.state.change(|settings| settings.options.phase = phase);
    }

    /// Sets how long a slot stays occupied after its client has closed.
    pub fn set_release_delay(&self, delay: Duration) {
        self.state
            .change(|settings| settings.options.release_delay = delay);
    }

    /// Sets the latency each way, from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.state.change(|settings| settings.options.latency = latency);
    }

    /// Sets whether the limiter offers TLS. Default: it does.
    pub fn set_tls(&self, support: TlsSupport) {
        self.state.change(|settings| settings.tls = support);
    }

    /// Accepts connections and never answers, until [`Limiter::heal`].
    pub fn black_hole_new(&self) {
        self.state
            .change(|settings| settings.new_links = LinkState::Silent);
    }

    /// Passes no byte of the present connections and closes none, until [`Limiter::heal`]; returns how many. What
    /// was sent in the meantime arrives then.
    pub fn black_hole_existing(&self) -> usize {
        self.state.set_links(LinkState::Silent, Connections::All)
    }

    /// Does the same to those connections only that wait for no answer.
    pub fn black_hole_idle(&self) -> usize {
        self.state.set_links(LinkState::Silent, Connections::Idle)
    }

    /// Ends all black holes.
    pub fn heal(&self) {
        self.state.heal();
    }

    /// Cuts all present connections, those in black holes too; returns how many.
    pub fn cut_all(&self, how: Cut) -> usize {
        self.state.set_links(LinkState::Closed(how), Connections::All)
    }

    /// Stops listening: the system refuses new connections, the present ones stay.
    pub async fn stop_listening(&self) {
        self.listener.send(Command::StopListening).await;
    }

    /// Listens again, on the same port.
    pub async fn resume_listening(&self) {
        self.listener.send(Command::Listen).await;
    }

    /// Arms a fault, which fires once, at the first connection where its message passes.
    pub fn arm(&self, trigger: Trigger, action: Action) -> ArmedFault {
        self.arm_times(trigger, action, Times::Once)
    }

    /// Arms a fault that fires more than once.
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
    /// // Each third connection logs in and is closed at its first statement.
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
    /// assert!(failed.firings() < 2);
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
        self.state
            .change(|settings| settings.cancel_requests = cancel_requests);
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.state.timer.stop();
    }
}
