//! The modules of the crate import in one direction only, so that no import circle crosses a folder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Each layer may use the ones before it. Modules of one layer do not use each other.
const LAYERS: &[&[&str]] = &[
    &["settings", "stats"],
    &["connect"],
    &["error"],
    &["pool"],
    &["session"],
    &["clients"],
    &["status_handle"],
    &["database"],
    &["lib"],
];

#[test]
fn imports_go_in_one_direction() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in rust_files(&source) {
        let module = module_of(file.strip_prefix(&source).unwrap());
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for import in code.flat_map(imports) {
            if import != module && layer(&import) >= layer(&module) {
                wrong.push(format!("{}: {module} uses {import}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scheduler_has_no_runtime_driver_or_clock() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pool/src");
    for file in rust_files(&source) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            let foreign = [
                "tokio",
                "sqlx",
                "Instant",
                "SystemTime",
                "std::thread",
                "std::net",
            ];
            let found = foreign.into_iter().find(|word| line.contains(word));
            assert_eq!(found, None, "{}: {line}", file.display());
        }
    }
}

fn layer(module: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&module));
    found.unwrap_or_else(|| panic!("`{module}` has no layer: add it to LAYERS"))
}

/// The first component of a path, which names the top module.
fn module_of(file: &Path) -> String {
    let first = file.iter().next().unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The top modules that a line of code names by `crate::`.
fn imports(line: &str) -> Vec<String> {
    let paths = line
        .split("crate::")
        .skip(1)
        .filter(|path| !path.starts_with(char::is_uppercase));
    let name = |path: &str| -> String {
        let word = |letter: &char| letter.is_ascii_lowercase() || *letter == '_';
        path.chars().take_while(word).collect()
    };
    paths.map(name).filter(|name| !name.is_empty()).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(rust_files(&path)),
            false => files.push(path),
        }
    }
    files
}
