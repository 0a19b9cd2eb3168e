//! The metrics that Prometheus scrapes.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use reqwest::{Method, StatusCode};

use berth_settings::Sources;
use berth_web::Settings;

use crate::service::BUILT_IN;
use crate::site::{SHARE, Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_counted_by_route_pattern_method_and_status() {
    let site = Site::start().await;
    for _ in 0..2 {
        assert_eq!(site.get("/read").await.status(), StatusCode::OK);
    }
    let missing = "/ships/0198f2f1-0000-7000-8000-000000000000";
    assert_eq!(site.get(missing).await.status(), StatusCode::NOT_FOUND);
    let text = site.text("/metrics").await;
    assert_eq!(requests(&text, "GET", "/read", 200), Some(2.0), "{text}");
    assert_eq!(
        requests(&text, "GET", "/ships/{ship_id}", 404),
        Some(1.0),
        "{text}"
    );
    assert!(!text.contains("0198f2f1"), "a path became a label");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_paths_and_methods_are_one_series() {
    let site = Site::start().await;
    for number in 0..20 {
        let method = Method::from_bytes(format!("BREW{number}").as_bytes()).unwrap();
        let answer = site
            .request(method, &format!("/pot/{number}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
    let text = site.text("/metrics").await;
    assert_eq!(requests(&text, "_OTHER", "none", 404), Some(20.0), "{text}");
    assert!(!text.contains("BREW") && !text.contains("/pot"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_are_timed_by_kind_and_table() {
    let site = Site::start().await;
    let written = site.request(Method::POST, "/write").send().await.unwrap();
    assert_eq!(written.status(), StatusCode::OK);
    let samples = samples(&site.text("/metrics").await);
    for (operation, table) in [
        ("INSERT", "ships"),
        ("SELECT", "ships"),
        ("BEGIN", ""),
        ("COMMIT", ""),
    ] {
        let name = format!(
            "db_client_operation_duration_seconds_count{{db_operation_name=\"{operation}\",db_collection_name=\"{table}\"}}"
        );
        assert!(samples.get(&name).is_some_and(|count| *count >= 1.0), "no {name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pools_numbers_are_of_one_moment() {
    let site = Site::start().await;
    let _load = site.saturate(20).await;
    for _ in 0..50 {
        let samples = samples(&site.text("/metrics").await);
        let states = samples
            .iter()
            .filter(|(name, _)| name.starts_with("db_client_connection_count{"));
        let sum: f64 = states.map(|(_, value)| value).sum();
        assert!(
            sum <= SHARE as f64 && samples["db_pool_share"] == SHARE as f64,
            "{samples:#?}"
        );
        assert!(samples["db_pool_connection_events_total{event=\"leased\"}"] >= 1.0);
    }
    let samples = samples(&site.text("/metrics").await);
    assert!(samples["db_client_connection_pending_requests"] >= 1.0);
    assert_eq!(samples["db_pool_refusals_total"], 0.0);
    let waits = samples["db_client_connection_wait_time_seconds_count"];
    assert_eq!(
        waits,
        samples["db_client_connection_wait_time_seconds_bucket{le=\"+Inf\"}"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_with_a_separate_port_are_not_served_elsewhere() {
    let site = Site::start_with(|settings| settings.metrics.port = Some(0)).await;
    assert_eq!(site.get("/metrics").await.status(), StatusCode::NOT_FOUND);
    let url = site.metrics_url().expect("they have a port");
    let answer = berth_web::testing::http().get(&url).send().await.unwrap();
    assert!(answer.text().await.unwrap().contains("db_pool_share 3"));
    let elsewhere = url.replace("/metrics", "/health");
    assert_eq!(
        berth_web::testing::http()
            .get(elsewhere)
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::NOT_FOUND
    );
}

#[test]
fn their_port_is_read_from_the_environment_as_a_number() {
    let port = |text: &str| {
        let variable = ("APP__METRICS__PORT".to_owned(), text.to_owned());
        let sources = Sources {
            environment: vec![variable],
            ..Sources::new(BUILT_IN)
        };
        Settings::read(&mut sources.load()?).map(|settings| settings.metrics.port)
    };
    assert_eq!(port("9100").unwrap(), Some(9100));
    assert_eq!(port("").unwrap(), None);
    for wrong in ["many", "65536", "-1", "8080"] {
        let invalid = port(wrong).unwrap_err();
        assert_eq!(invalid.key, "metrics.port", "{invalid}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_that_are_switched_off_do_not_exist() {
    let site = Site::start_with(|settings| settings.metrics.enabled = false).await;
    assert_eq!(site.get("/metrics").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs promtool, which `make verify` sees to"]
async fn promtool_accepts_the_metrics() {
    let site = Site::start().await;
    assert_eq!(site.get("/read").await.status(), StatusCode::OK);
    let text = site.text("/metrics").await;
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed");
    tool.stdin
        .take()
        .unwrap()
        .write_all(classic(&text).as_bytes())
        .unwrap();
    let said = String::from_utf8(tool.wait_with_output().unwrap().stderr).unwrap();
    // OpenTelemetry's name for it ends like a histogram's part; it is kept, for it is what dashboards look for.
    let known =
        "db_client_connection_count non-histogram and non-summary metrics should not have \"_count\" suffix";
    let found: Vec<_> = said.lines().filter(|line| *line != known).collect();
    assert!(found.is_empty() && said.contains(known), "{said}");
}

/// The classic text format, which is all that promtool reads: counters are described under their whole name.
fn classic(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| *line != "# EOF").collect();
    let is_counter = |name: &str| lines.contains(&&*format!("# TYPE {name} counter"));
    let whole = |line: &str| {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(kind), Some(name), Some(rest)) if is_counter(name) => {
                format!("# {kind} {name}_total {rest}\n")
            }
            _ => format!("{line}\n"),
        }
    };
    lines.iter().map(|line| whole(line)).collect()
}

fn requests(text: &str, method: &str, route: &str, status: u16) -> Option<f64> {
    let labels = format!(
        "{{http_request_method=\"{method}\",http_route=\"{route}\",http_response_status_code=\"{status}\"}}"
    );
    samples(text)
        .get(&format!("http_server_request_duration_seconds_count{labels}"))
        .copied()
}

/// Every sample by its name and labels, after checking that each belongs to a described family.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let described: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let each = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a sample has a value");
        let bare = name.split('{').next().unwrap();
        let parts = ["", "_total", "_sum", "_count", "_bucket"];
        let belongs = parts.iter().any(|part| {
            bare.strip_suffix(part)
                .is_some_and(|family| described.contains(&family))
        });
        assert!(belongs, "{line} is not described");
        (name.to_owned(), value.parse().expect("a value is a number"))
    });
    each.collect()
}
