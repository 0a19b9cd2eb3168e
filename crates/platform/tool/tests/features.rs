//! Builds that repeat nothing: the commands of the Makefile, and `-p`, compile each dependency once.
//!
//! Cargo compiles a crate again for each set of features that it is asked for, and so again all that depend on it. The
//! plans of the builds are compared, without building: `cargo --unit-graph`, which the stable compiler prints with
//! `RUSTC_BOOTSTRAP`.

#![allow(
    clippy::unwrap_used,
    reason = "the steps of a test panic as the test itself would"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use sha2::Digest;

/// What compiles everything, so that every other build finds its dependencies compiled.
const EVERYTHING: &[&str] = &["test", "--no-run", "--workspace"];

#[test]
fn run_and_migrate_compile_the_dependencies_that_the_tests_compile() {
    assert_compiled_once(
        &[
            &["build", "--bin=api"],
            &["build", "--bin=migration"],
            &["build", "--bin=testkit-run"],
        ],
        "Move the features from the [dev-dependencies] that ask for them to the entry in [workspace.dependencies].",
    );
}

#[test]
#[ignore = "a service may add dependencies for which `-p` compiles more than the commands of the Makefile: part of make verify"]
fn a_package_alone_compiles_the_dependencies_that_the_tests_compile() {
    assert_compiled_once(
        &[
            &["build", "--package=api"],
            &["build", "--package=migration"],
            &["test", "--no-run", "--package=api"],
            &["test", "--no-run", "--package=migration"],
            &["test", "--no-run", "--package=service"],
        ],
        "It costs time only. To mend it, name the features in [workspace.dependencies] if a manifest names the crate, and \
         else name the crate with these features in migration/Cargo.toml.",
    );
}

#[track_caller]
fn assert_compiled_once(builds: &[&[&str]], advice: &str) {
    let all = plan(EVERYTHING);
    let compiled: BTreeSet<&String> = all.iter().map(|unit| &unit.identity).collect();
    for build in builds {
        let again: Vec<Unit> = plan(build)
            .into_iter()
            .filter(|unit| !unit.own && !compiled.contains(&unit.identity))
            .collect();
        let causes: BTreeSet<String> = again.iter().filter_map(|unit| cause(unit, &all)).collect();
        assert!(
            again.is_empty(),
            "cargo {} compiles {} crates that `cargo {}` compiles differently, because of:\n  {}\n{advice}",
            build.join(" "),
            again.len(),
            EVERYTHING.join(" "),
            Vec::from_iter(causes).join("\n  "),
        );
    }
}

/// The features that differ, if the unit itself differs rather than one that it depends on.
fn cause(unit: &Unit, all: &[Unit]) -> Option<String> {
    let others: Vec<&Unit> = all.iter().filter(|other| other.name == unit.name).collect();
    let same = others.iter().any(|other| other.features == unit.features);
    let elsewhere: Vec<&str> = others.iter().map(|other| other.features.as_str()).collect();
    (!same).then(|| {
        let [here, there] = [unit.features.as_str(), &elsewhere.join("] or [")];
        format!("{} has the features [{here}], and [{there}] there", unit.name)
    })
}

/// One run of the compiler.
struct Unit {
    /// Package, target and mode.
    name: String,
    features: String,
    /// Whether the package is of the workspace.
    own: bool,
    /// Name, features and profile, with those of all that it depends on.
    identity: String,
}

fn plan(build: &[&str]) -> Vec<Unit> {
    let output = Command::new(env!("CARGO"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."))
        .args(build)
        .args(["--unit-graph", "-Zunstable-options"])
        .env("RUSTC_BOOTSTRAP", "1")
        // A switch that compiles the features of all for each, where it is set, would hide what is compared here.
        .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let graph: Value = serde_json::from_slice(&output.stdout).unwrap();
    let units = graph["units"].as_array().unwrap();
    let mut identities = BTreeMap::new();
    (0..units.len())
        .map(|index| {
            let unit = &units[index];
            Unit {
                name: name(unit),
                features: features(unit),
                own: unit["pkg_id"].as_str().unwrap().starts_with("path+"),
                identity: identity(units, index, &mut identities),
            }
        })
        .collect()
}

fn identity(units: &[Value], index: usize, known: &mut BTreeMap<usize, String>) -> String {
    if let Some(identity) = known.get(&index) {
        return identity.clone();
    }
    let unit = &units[index];
    let mut profile = unit["profile"].clone();
    profile.as_object_mut().unwrap().remove("name");
    let dependencies: BTreeSet<String> = unit["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dependency| identity(units, dependency["index"].as_u64().unwrap() as usize, known))
        .collect();
    let whole = format!("{}{}{profile}{dependencies:?}", name(unit), features(unit));
    let digest = sha2::Sha256::digest(whole);
    let identity = format!("{digest:x?}");
    known.insert(index, identity.clone());
    identity
}

fn name(unit: &Value) -> String {
    let package = unit["pkg_id"]
        .as_str()
        .unwrap()
        .rsplit(['#', '/'])
        .next()
        .unwrap();
    format!(
        "{package} ({} {})",
        unit["mode"].as_str().unwrap(),
        unit["target"]["kind"][0].as_str().unwrap()
    )
}

fn features(unit: &Value) -> String {
    let names = unit["features"].as_array().unwrap();
    Vec::from_iter(names.iter().filter_map(Value::as_str)).join(", ")
}
