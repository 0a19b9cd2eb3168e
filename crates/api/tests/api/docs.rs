//! What the documents say is there is there.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_link_leads_somewhere() {
    let mut followed = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let links = text
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                _ => page.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", page.display());
            let known = heading.is_empty() || anchors(&target).contains(&heading.to_owned());
            assert!(known, "{}: {link}", page.display());
            followed += 1;
        }
    }
    assert!(followed > 30, "{followed}");
}

#[test]
fn every_make_target_and_every_package_that_is_named_is_there() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut named = 0;
    for page in pages() {
        for code in code(&fs::read_to_string(&page).unwrap()) {
            let mut words = code.split_whitespace().skip_while(|word| word.contains('='));
            let first = words.next();
            let target = words.next().filter(|word| !word.contains('=') && *word != "#");
            if let (Some("make"), Some(target)) = (first, target) {
                let there = makefile
                    .lines()
                    .any(|line| line.starts_with(&format!("{target}:")));
                assert!(there, "{}: {code}", page.display());
                named += 1;
            }
            if let Some((_, rest)) = code.split_once("cargo run -p ") {
                let package = rest.split_whitespace().next().unwrap();
                let there = ["crates", ""].map(|folder| root().join(folder).join(package).join("Cargo.toml"));
                assert!(
                    there.iter().any(|manifest| manifest.exists()),
                    "{}: {code}",
                    page.display()
                );
                named += 1;
            }
        }
    }
    assert!(named > 8, "{named}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The documents of the tree, those of its crates included.
fn pages() -> Vec<PathBuf> {
    let entries = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let crates = entries(root().join("crates")).map(|folder| folder.join("README.md"));
    let pages = entries(root()).chain(entries(root().join("docs"))).chain(crates);
    pages
        .filter(|path| path.extension().is_some_and(|ending| ending == "md") && path.exists())
        .collect()
}

/// Lines of code, and code within lines.
fn code(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, part) in text.split("```").enumerate() {
        match at % 2 {
            0 => found.extend(part.split('`').skip(1).step_by(2)),
            _ => found.extend(part.lines()),
        }
    }
    found
}

/// What GitHub calls the headings of a page.
fn anchors(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line
                .trim_start_matches('#')
                .trim()
                .to_lowercase()
                .replace(' ', "-");
            words
                .chars()
                .filter(|c| c.is_alphanumeric() || "-_".contains(*c))
                .collect()
        })
        .collect()
}
