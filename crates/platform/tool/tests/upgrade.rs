//! The command in real git repositories: what it refuses, and that a refusal changes nothing.

#![allow(
    clippy::unwrap_used,
    reason = "the steps of a test panic as the test itself would"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A service at version 0.2.0 of the platform, and a repository with tags of other versions.
struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let source = world.path("source");
        for (version, setting) in [("0.1.9", ""), ("0.2.0", ""), ("0.3.0", "# New.\nnew = 1\n")] {
            write_version(&source, version, setting);
            git(&source, &["init", "--quiet"]);
            git(&source, &["add", "--all"]);
            manifest(&source);
            commit(&source);
            git(&source, &["tag", &format!("v{version}")]);
        }
        let (from, to) = (world.path("source"), world.path("service"));
        let arguments = [
            "-c",
            "advice.detachedHead=false",
            "clone",
            "--quiet",
            "--branch",
            "v0.2.0",
        ];
        let status = Command::new("git").args(arguments).args([from, to]).status();
        assert!(status.unwrap().success());
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn upgrade(&self, tag: &str) -> Output {
        let source = self.path("source").display().to_string();
        tool(&self.path("service"), &["upgrade", &source, tag])
    }

    #[track_caller]
    fn assert_refused(&self, tag: &str, words: &[&str]) {
        let before = git(&self.path("service"), &["status", "--porcelain"]);
        let output = self.upgrade(tag);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{text}");
        for word in words {
            assert!(text.contains(word), "{word} in {text}");
        }
        let after = git(&self.path("service"), &["status", "--porcelain"]);
        assert_eq!(after, before, "a refusal changes nothing");
    }
}

fn write_version(root: &Path, version: &str, setting: &str) {
    let platform = root.join("crates/platform");
    std::fs::create_dir_all(platform.join("pool")).unwrap();
    std::fs::create_dir_all(root.join("config")).unwrap();
    let package = format!("[package]\nname = \"berth-pool\"\nversion = \"{version}\"\n");
    std::fs::write(platform.join("pool/Cargo.toml"), package).unwrap();
    let log = format!("# Changelog\n\n## {version}\n\nChanges of {version}.\n");
    std::fs::write(platform.join("CHANGELOG.md"), log).unwrap();
    let workspace = format!(
        "[workspace]\nmembers = [\"crates/platform/*\"]\n\n[workspace.dependencies]\n\
         berth-pool = {{ path = \"crates/platform/pool\", version = \"{version}\" }}\n"
    );
    std::fs::write(root.join("Cargo.toml"), workspace).unwrap();
    let settings = format!("[server]\n# The port.\nport = 8080\n\n{setting}");
    std::fs::write(root.join("config/default.toml"), settings).unwrap();
}

fn tool(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth-tool"));
    command.current_dir(folder).args(arguments).output().unwrap()
}

fn manifest(root: &Path) {
    let output = tool(root, &["manifest"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn commit(folder: &Path) {
    git(folder, &["add", "--all"]);
    let author = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
    let arguments = [&author[..], &["commit", "--quiet", "--message", "A change"]].concat();
    git(folder, &arguments);
}

#[test]
fn an_upgrade_replaces_the_platform_and_keeps_the_rest() {
    let world = World::new();
    let service = world.path("service");
    let settings = service.join("config/default.toml");
    std::fs::write(&settings, "[server]\n# The port.\nport = 9000\n").unwrap();
    commit(&service);
    let output = world.upgrade("v0.3.0");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("Changes of 0.3.0."), "{said}");
    assert!(said.contains("config/default.toml: server.new is new"), "{said}");
    let package = std::fs::read_to_string(service.join("crates/platform/pool/Cargo.toml")).unwrap();
    assert!(package.contains("0.3.0"), "{package}");
    let workspace = std::fs::read_to_string(service.join("Cargo.toml")).unwrap();
    assert!(workspace.contains("version = \"0.3.0\""), "{workspace}");
    let settings = std::fs::read_to_string(settings).unwrap();
    assert_eq!(
        settings,
        "[server]\n# The port.\nport = 9000\n\n# New.\nnew = 1\n"
    );
    assert!(tool(&service, &["manifest", "--check"]).status.success());
}

#[test]
fn changed_files_of_the_platform_are_listed_and_kept() {
    let world = World::new();
    let service = world.path("service");
    std::fs::write(service.join("crates/platform/CHANGELOG.md"), "mine").unwrap();
    std::fs::write(service.join("crates/platform/pool/own.rs"), "mine").unwrap();
    commit(&service);
    world.assert_refused(
        "v0.3.0",
        &[
            "changed  crates/platform/CHANGELOG.md",
            "added    crates/platform/pool/own.rs",
        ],
    );
    let output = tool(&service, &["manifest", "--check"]);
    assert!(!output.status.success());
}

#[test]
fn uncommitted_changes_and_older_versions_are_refused() {
    let world = World::new();
    world.assert_refused("v0.2.0", &["the platform is already at 0.2.0"]);
    world.assert_refused("v0.1.9", &["is older (0.1.9)"]);
    world.assert_refused("v9", &["cannot get v9 from"]);
    std::fs::write(world.path("service/notes.txt"), "mine").unwrap();
    world.assert_refused("v0.3.0", &["commit or stash first", "notes.txt"]);
}

#[test]
fn a_repository_without_a_platform_is_refused() {
    let world = World::new();
    let source = world.path("source");
    git(&source, &["rm", "--quiet", "crates/platform/MANIFEST"]);
    commit(&source);
    git(&source, &["tag", "v0.0.1"]);
    world.assert_refused("v0.0.1", &["has no crates/platform/MANIFEST"]);
}
