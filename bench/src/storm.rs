//! What users see when many requests meet a small limit: how many of a thousand fail, and for how long.

use std::time::{Duration, Instant};

use database::{Instances, Strategy};
use futures_util::future::join_all;
use testkit::{Limiter, LimiterOptions, TestDatabase};

use crate::contenders::{Berth, Contender, Deadpool, SeaOrm, SqlxPool};
use crate::reads::prepared;

const LIMIT: usize = 15;
const REQUESTS: usize = 1000;
const CALLERS: usize = 200;

/// One kind of bad weather.
struct Weather {
    name: &'static str,
    instances: u32,
    /// How long each request's statement takes.
    seconds: f64,
    /// All backends are terminated this often.
    kills_every: Option<Duration>,
}

const WEATHERS: [Weather; 4] = [
    Weather {
        name: "one instance, 2 ms queries",
        instances: 1,
        seconds: 0.002,
        kills_every: None,
    },
    Weather {
        name: "four instances, 2 ms queries",
        instances: 4,
        seconds: 0.002,
        kills_every: None,
    },
    Weather {
        name: "four instances, 50 ms queries",
        instances: 4,
        seconds: 0.05,
        kills_every: None,
    },
    Weather {
        name: "one instance, all backends killed every 200 ms",
        instances: 1,
        seconds: 0.002,
        kills_every: Some(Duration::from_millis(200)),
    },
];

pub(crate) async fn run() {
    println!("\nstorm: {REQUESTS} requests of {CALLERS} callers through a limit of {LIMIT}");
    let server = prepared().await;
    for weather in &WEATHERS {
        println!("  {}", weather.name);
        let berth = |strategy| move |url: &str| berth(url, weather.instances, strategy);
        storm(&server, weather, "deadpool-postgres", Deadpool::new).await;
        storm(&server, weather, "sqlx pool", SqlxPool::new).await;
        storm(&server, weather, "SeaORM", SeaOrm::new).await;
        storm(&server, weather, "Berth, pooled", berth(Strategy::Pooled)).await;
        storm(&server, weather, "Berth, fresh", berth(Strategy::Fresh)).await;
    }
}

/// As it comes, but that `fresh` has to be told how many instances there are.
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

async fn storm<C: Contender>(server: &TestDatabase, weather: &Weather, name: &str, make: impl Fn(&str) -> C) {
    let limiter = Limiter::start(server, LimiterOptions::limit(LIMIT));
    let fleet: Vec<_> = (0..weather.instances).map(|_| make(&limiter.url())).collect();
    let begun = Instant::now();
    let requests = async {
        let callers = (0..CALLERS).map(|caller| calls(&fleet[caller % fleet.len()], weather.seconds));
        join_all(callers).await.into_iter().sum::<usize>()
    };
    let failed = tokio::select! {
        failed = requests => failed,
        () = kills(server, weather.kills_every) => unreachable!("it never ends"),
    };
    let counts = limiter.counts();
    println!(
        "    {name:<18} {failed:>4} failed in {:>5.1} s, peak {:>2} of {LIMIT}, {} refused",
        begun.elapsed().as_secs_f64(),
        counts.peak,
        counts.refused
    );
}

async fn calls<C: Contender>(contender: &C, seconds: f64) -> usize {
    let mut failed = 0;
    for _ in 0..REQUESTS / CALLERS {
        failed += usize::from(contender.nap(seconds).await.is_err());
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
