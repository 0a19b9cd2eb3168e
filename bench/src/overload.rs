//! Many requests and a small limit: how many of a thousand fail, and how long they take.

use std::time::{Duration, Instant};

use berth_database::{Instances, Strategy};
use berth_testkit::{Limiter, LimiterOptions, TestDatabase};
use futures_util::future::join_all;

use crate::clients::{Berth, Client, Deadpool, SeaOrm, SqlxPool};
use crate::reads::prepared;

const LIMIT: usize = 15;
const REQUESTS: usize = 1000;
const CALLERS: usize = 200;

/// Load and faults of one measurement.
struct Scenario {
    name: &'static str,
    instances: u32,
    /// How long each request's statement takes.
    seconds: f64,
    /// All backends are terminated this often.
    kills_every: Option<Duration>,
}

const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "one instance, 2 ms queries",
        instances: 1,
        seconds: 0.002,
        kills_every: None,
    },
    Scenario {
        name: "four instances, 2 ms queries",
        instances: 4,
        seconds: 0.002,
        kills_every: None,
    },
    Scenario {
        name: "four instances, 50 ms queries",
        instances: 4,
        seconds: 0.05,
        kills_every: None,
    },
    Scenario {
        name: "one instance, all backends killed every 200 ms",
        instances: 1,
        seconds: 0.002,
        kills_every: Some(Duration::from_millis(200)),
    },
];

pub(crate) async fn run() {
    println!("\noverload: {REQUESTS} requests of {CALLERS} callers through a limit of {LIMIT}");
    let server = prepared().await;
    for scenario in &SCENARIOS {
        println!("  {}", scenario.name);
        let berth = |strategy| move |url: &str| berth(url, scenario.instances, strategy);
        measure(&server, scenario, "deadpool-postgres", Deadpool::new).await;
        measure(&server, scenario, "sqlx pool", SqlxPool::new).await;
        measure(&server, scenario, "SeaORM", SeaOrm::new).await;
        measure(&server, scenario, "Berth, pooled", berth(Strategy::Pooled)).await;
        measure(&server, scenario, "Berth, fresh", berth(Strategy::Fresh)).await;
    }
}

/// Returns Berth with its defaults; `fresh` needs the number of instances.
fn berth(url: &str, instances: u32, strategy: Strategy) -> Berth {
    Berth::new(url, |settings| {
        settings.limit = u32::try_from(LIMIT).expect("a small number");
        (settings.reserve, settings.max_overflow) = (2, 2);
        settings.strategy = strategy;
        settings.instances = match strategy {
            Strategy::Fresh => Instances::Fixed(instances),
            Strategy::Pooled => Instances::Auto,
        };
    })
}

async fn measure<C: Client>(
    server: &TestDatabase,
    scenario: &Scenario,
    name: &str,
    make: impl Fn(&str) -> C,
) {
    let limiter = Limiter::start(server, LimiterOptions::limit(LIMIT));
    let instances: Vec<_> = (0..scenario.instances).map(|_| make(&limiter.url())).collect();
    let begun = Instant::now();
    let requests = async {
        let callers =
            (0..CALLERS).map(|caller| calls(&instances[caller % instances.len()], scenario.seconds));
        join_all(callers).await.into_iter().sum::<usize>()
    };
    let failed = tokio::select! {
        failed = requests => failed,
        () = kills(server, scenario.kills_every) => unreachable!("it never ends"),
    };
    let counts = limiter.counts();
    println!(
        "    {name:<18} {failed:>4} failed in {:>5.1} s, peak {:>2} of {LIMIT}, {} refused",
        begun.elapsed().as_secs_f64(),
        counts.peak,
        counts.refused
    );
}

async fn calls<C: Client>(client: &C, seconds: f64) -> usize {
    let mut failed = 0;
    for _ in 0..REQUESTS / CALLERS {
        failed += usize::from(client.sleep(seconds).await.is_err());
    }
    failed
}

async fn kills(server: &TestDatabase, every: Option<Duration>) {
    let Some(every) = every else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(every).await;
        server.terminate_all().await;
    }
}
