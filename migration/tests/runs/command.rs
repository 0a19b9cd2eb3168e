//! The command itself, as a process.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::fixture::folder;

#[test]
fn up_applies_status_reports_and_a_second_up_has_nothing_to_do() {
    let folder = folder();
    let before = migration(&folder, &[]).args(["status"]).output().unwrap();
    let all = String::from_utf8_lossy(&before.stdout).lines().count();
    let pending = if all == 0 { 0 } else { 3 };
    assert_eq!(
        before.status.code(),
        Some(pending),
        "pending migrations are told by the exit code"
    );
    let up = ok(migration(&folder, &[]).args(["up"]));
    assert_eq!(
        up.lines().filter(|line| line.starts_with("applied")).count(),
        all,
        "{up}"
    );
    assert_eq!(
        ok(&mut migration(&folder, &[])),
        "no changes\n",
        "up is what it does unless told otherwise"
    );
    assert!(!ok(migration(&folder, &[]).args(["status"])).contains("pending"));
    assert!(
        folder.path().join("data/berth.sqlite").exists(),
        "the default is the service's own"
    );
}

const PRODUCTION: [(&str, &str); 2] = [
    ("APP_ENV", "production"),
    ("DATABASE_URL", "sqlite://data/berth.sqlite?mode=rwc"),
];

#[test]
fn what_destroys_data_wants_to_be_confirmed_in_production_only() {
    let folder = folder();
    ok(migration(&folder, &[]).args(["up"]));
    for verb in ["down", "fresh", "refresh", "reset"] {
        let refused = migration(&folder, &PRODUCTION).arg(verb).output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{verb}");
        assert!(
            String::from_utf8_lossy(&refused.stderr).contains("--yes"),
            "{refused:?}"
        );
    }
    assert!(
        !ok(migration(&folder, &[]).args(["status"])).contains("pending"),
        "nothing was reverted"
    );
    ok(migration(&folder, &PRODUCTION).args(["down", "--yes"]));
    ok(migration(&folder, &PRODUCTION).args(["up"]));
    ok(migration(&folder, &[]).args(["reset"]));
}

#[test]
fn the_environment_goes_before_the_file() {
    let folder = folder();
    let dotenv = "DATABASE_URL=sqlite://from-file.sqlite?mode=rwc\nDB_POOLER=session\n";
    std::fs::write(folder.path().join(".env"), dotenv).unwrap();
    ok(migration(&folder, &[("DATABASE_URL", "")]).args(["up"]));
    assert!(
        folder.path().join("from-file.sqlite").exists(),
        "a variable that is empty counts as not set"
    );
    ok(migration(
        &folder,
        &[("DATABASE_URL", "sqlite://from-environment.sqlite?mode=rwc")],
    )
    .args(["up"]));
    assert!(folder.path().join("from-environment.sqlite").exists());
}

#[test]
fn two_names_for_one_thing_must_not_say_two_things() {
    let folder = folder();
    let variables = [
        ("DATABASE_URL", "sqlite://a.sqlite?mode=rwc"),
        ("APP__DATABASE__URL", "sqlite://b.sqlite?mode=rwc"),
    ];
    let refused = migration(&folder, &variables).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("DATABASE_URL") && said.contains("keep one"),
        "{said}"
    );
    ok(&mut migration(&folder, &[variables[1]]));
    assert!(folder.path().join("b.sqlite").exists());
}

#[test]
fn a_url_that_is_none_is_refused_without_repeating_it() {
    let folder = folder();
    let refused = migration(&folder, &[("DATABASE_URL", "mysql://me:secret@host/name")])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("postgres://") && !said.contains("secret"), "{said}");
}

#[test]
fn generate_makes_a_migration_and_lists_it() {
    let folder = folder();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs");
    std::fs::create_dir_all(folder.path().join("migration/src")).unwrap();
    std::fs::copy(source, folder.path().join("migration/src/lib.rs")).unwrap();
    ok(migration(&folder, &[]).args(["generate", "add_tags"]));
    let list = std::fs::read_to_string(folder.path().join("migration/src/lib.rs")).unwrap();
    let module = list
        .lines()
        .find_map(|line| line.strip_prefix("mod ")?.strip_suffix("_add_tags;"))
        .expect("listed");
    let path = folder.path().join(format!("migration/src/{module}_add_tags.rs"));
    let template = include_str!("../../../crates/platform/migrate/src/generate/template.rs");
    assert_eq!(std::fs::read_to_string(path).unwrap(), template);
    assert!(list.contains(&format!("Box::new({module}_add_tags::Migration),")));
    let refused = migration(&folder, &[])
        .args(["generate", "Add Tags"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
}

/// The command in the folder, with these variables and no others of ours.
fn migration(folder: &TempDir, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_migration"));
    command
        .current_dir(folder.path())
        .env_clear()
        .envs(variables.iter().copied());
    command
}

#[track_caller]
fn ok(command: &mut Command) -> String {
    let output: Output = command.output().expect("the command starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}
