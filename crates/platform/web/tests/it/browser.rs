//! The page in a real browser, while the pool is saturated. The test keeps a screenshot.

use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_testkit::Cut;
use tokio::process::Command;

use crate::site::{SHARE, Site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Chromium, which `make verify` sees to"]
async fn the_page_shows_the_pool_under_load() {
    let site = Site::start().await;
    let _load = site.saturate(20).await;
    let folder = folder("db-pool-page");
    for (name, arguments) in [
        ("light", &["--window-size=1280,1150"][..]),
        (
            "dark",
            &[
                "--window-size=1280,1150",
                "--blink-settings=preferredColorScheme=0",
            ],
        ),
        ("narrow", &["--window-size=500,1700"]),
    ] {
        let shot = format!("--screenshot={}", folder.join(format!("{name}.png")).display());
        browse(
            &folder,
            &site.url("/debug/db-pool"),
            &[arguments, &[&shot]].concat(),
        )
        .await;
        assert!(
            folder.join(format!("{name}.png")).metadata().unwrap().len() > 20_000,
            "{name} is empty"
        );
    }
    let seen = browse(&folder, &site.url("/debug/db-pool"), &["--dump-dom"]).await;
    for part in [
        &format!("<title>{SHARE}/{SHARE} in use, "),
        "callers wait for a connection",
        "<a href=\"runbook#waiting\">docs/troubleshooting.md#waiting</a>",
        "postgres://",
        "GET /slow",
        "SELECT pg_sleep(0.3)",
        "Running a statement",
        "role=\"img\" aria-label=\"Slots over the last minute. Now 3 in use",
        "data-state=\"live\"",
        "Not listed: no connection is idle",
    ] {
        assert!(seen.contains(part), "no {part:?} in {seen}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Chromium, which `make verify` sees to"]
async fn the_page_shows_the_words_of_the_last_refusal() {
    let site = Site::start_with(|settings| settings.database.pool_timeout = Duration::from_millis(500)).await;
    site.limiter.set_limit(0);
    site.limiter.cut_all(Cut::Reset);
    assert_eq!(site.get("/read").await.status(), 503);
    let seen = browse(
        &folder("db-pool-refusal"),
        &site.url("/debug/db-pool"),
        &["--dump-dom"],
    )
    .await;
    let words = "ago: MaxClientsInSessionMode: max clients reached";
    assert!(seen.contains(words), "no {words:?} in {seen}");
}

/// Lets the page live for some seconds of its own time, and gives what the browser printed.
async fn browse(folder: &Path, url: &str, arguments: &[&str]) -> String {
    let profile = folder.join("profile");
    let output = Command::new(browser())
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args(["--hide-scrollbars", "--virtual-time-budget=6000"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(arguments)
        .arg(url)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), output).await;
    let output = output.expect("the browser ends").expect("Chromium is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("the page is text")
}

/// Chromium by the first of its names that is installed.
fn browser() -> &'static str {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&folders).any(|folder| folder.join(name).exists());
    names.into_iter().find(is_there).expect("Chromium is installed")
}

/// A folder in `target/tmp`: screenshots stay, the browser's profile is made anew.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
    folder
}
