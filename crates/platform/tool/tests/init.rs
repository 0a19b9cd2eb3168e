//! `init` on a copy of this very tree.

#![allow(
    clippy::unwrap_used,
    reason = "the steps of a test panic as the test itself would"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A repository with the files of this tree; none where this tree has been named already.
fn clone() -> Option<TempDir> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let folder = tempfile::tempdir().unwrap();
    for file in git(
        &source,
        &["ls-files", "--cached", "--others", "--exclude-standard"],
    )
    .lines()
    {
        let (from, to) = (source.join(file), folder.path().join(file));
        if from.is_file() {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap();
        }
    }
    git(folder.path(), &["init", "--quiet"]);
    commit(folder.path());
    if read(folder.path(), "config/default.toml").contains("\nname = \"berth\"\n") {
        return Some(folder);
    }
    let refused = tool(folder.path(), &["init", "another"]);
    assert_refused(folder.path(), &refused, "is named");
    None
}

#[test]
fn nothing_but_the_platform_and_its_documentation_is_called_berth_afterwards() {
    let Some(folder) = clone() else { return };
    let root = folder.path();
    let output = tool(root, &["init", "my-shop"]);
    assert!(output.status.success(), "{}", text(&output));
    git(root, &["add", "--all"]);
    let crates: Vec<String> = std::fs::read_dir(root.join("crates/platform"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let kept = [
        "crates/platform/",
        "bench/",
        ".ci/init",
        ".ci/tutorial",
        ".ci/sea-orm-suite/",
        "LICENSE",
        "Cargo.lock",
    ];
    for line in git(root, &["grep", "-iI", "berth"]).lines() {
        let (file, mut line) = line.split_once(':').unwrap();
        if kept.iter().any(|kept| file.starts_with(kept)) {
            continue;
        }
        let documentation = file.ends_with(".md") || file.ends_with(".txt");
        while let Some(at) = line.to_ascii_lowercase().find("berth") {
            let (word, rest) = (&line[at..at + 5], &line[at + 5..]);
            let is_crate = crates
                .iter()
                .any(|name| rest[1.min(rest.len())..].starts_with(name.as_str()));
            let is_platform = word == "berth"
                && (is_crate
                    || ["-/", "-$", "-*", "-\"", ".git"]
                        .iter()
                        .any(|part| rest.starts_with(part)))
                || word == "BERTH" && rest.starts_with("_TEST_")
                || word == "Berth" && documentation;
            assert!(is_platform, "{file}: ...{}", &line[at..]);
            line = rest;
        }
    }
    let names = git(root, &["ls-files"]);
    let names = names
        .lines()
        .filter(|file| !kept.iter().any(|kept| file.starts_with(kept)));
    assert_eq!(
        names.filter(|file| file.to_lowercase().contains("berth")).count(),
        0
    );
}

#[test]
fn the_new_name_is_where_a_service_has_its_name() {
    let Some(folder) = clone() else { return };
    let root = folder.path();
    assert!(tool(root, &["init", "shop"]).status.success());
    for (file, part) in [
        ("config/default.toml", "\nname = \"shop\"\n"),
        ("config/default.toml", "sqlite://data/shop.sqlite?mode=rwc"),
        ("docker-compose.yml", "\nname: shop\n"),
        ("docker-compose.yml", "image: shop:"),
        ("docker-compose.yml", "POSTGRES_DB: shop\n"),
        ("deploy/kubernetes/deployment.yaml", "  name: shop\n"),
        ("deploy/systemd/shop.service", "StateDirectory=shop\n"),
        ("deploy/grafana/dashboards/shop.json", "\"title\": \"Shop\""),
        ("deploy/prometheus/alerts.yml", "alert: ShopErrors\n"),
        ("docs/openapi.json", "\"title\": \"Shop\""),
        ("README.md", "# Shop\n"),
        ("crates/service/Cargo.toml", "berth-database.workspace = true"),
    ] {
        assert!(read(root, file).contains(part), "{file} has no {part:?}");
    }
    assert!(read(root, "CHANGELOG.md").ends_with("\n\n## Unreleased\n"));
    assert_eq!(
        read(root, "docs/openapi.released.json"),
        read(root, "docs/openapi.json")
    );
    let platform = git(
        root,
        &["status", "--porcelain", "crates/platform", "Cargo.lock", "bench"],
    );
    assert_eq!(
        platform, "",
        "the platform is upgraded as a whole, so it stays as it is"
    );
    assert!(tool(root, &["manifest"]).status.success());
}

#[test]
fn the_secrets_of_two_clones_differ_and_git_ignores_them() {
    let (Some(one), Some(other)) = (clone(), clone()) else {
        return;
    };
    let secrets = [&one, &other].map(|folder| {
        let root = folder.path();
        assert!(tool(root, &["init", "shop"]).status.success());
        assert!(!git(root, &["status", "--porcelain"]).contains(".env\n"));
        let text = read(root, ".env");
        let of = |key: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap().to_owned()
        };
        [of("POSTGRES_PASSWORD"), of("APP__APP__SECRET")]
    });
    let all: std::collections::BTreeSet<&String> = secrets.iter().flatten().collect();
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|secret| secret.len() == 64), "{all:?}");
}

#[test]
fn what_is_refused_changes_nothing() {
    let Some(folder) = clone() else { return };
    let root = folder.path();
    for wrong in ["Shop", "my shop", "2nd", "berth", "api", "postgres", ""] {
        assert_refused(root, &tool(root, &["init", wrong]), "the name");
    }
    std::fs::write(root.join("notes.txt"), "mine").unwrap();
    assert_refused(root, &tool(root, &["init", "shop"]), "notes.txt");
    assert!(
        tool(root, &["init", "shop", "--allow-uncommitted"])
            .status
            .success()
    );
    commit(root);
    for again in ["shop", "other"] {
        assert_refused(root, &tool(root, &["init", again]), "is named \"shop\" already");
    }
}

#[track_caller]
fn assert_refused(root: &Path, output: &Output, part: &str) {
    assert!(!output.status.success());
    let text = text(output);
    assert!(text.contains(part), "{text}");
    let changed = git(root, &["status", "--porcelain", "--untracked-files=no"]);
    assert_eq!(changed, "", "a refusal changes nothing");
    assert!(!root.join(".env").exists() || text.contains("is named"));
}

fn tool(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth-tool"));
    command.current_dir(folder).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn read(root: &Path, file: &str) -> String {
    let path: PathBuf = root.join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn commit(folder: &Path) {
    git(folder, &["add", "--all"]);
    let author = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
    git(
        folder,
        &[&author[..], &["commit", "--quiet", "--message", "A change"]].concat(),
    );
}
