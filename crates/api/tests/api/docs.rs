//! What the documents refer to exists, and every page can be found.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_link_and_anchor_exists() {
    let mut followed = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let prose = without_code(&text);
        let links = prose
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap());
        for link in links.filter(|link| !link.contains("://") && !link.contains("::")) {
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
fn every_make_target_and_every_package_that_is_named_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut named = 0;
    // A changelog names what existed before, too.
    for page in pages().iter().filter(|page| !page.ends_with("CHANGELOG.md")) {
        for code in code(&fs::read_to_string(page).unwrap()) {
            let mut words = code.split_whitespace().skip_while(|word| word.contains('='));
            let first = words.next();
            let target = words.next().filter(|word| !word.contains('=') && *word != "#");
            if let (Some("make"), Some(target)) = (first, target) {
                let exists = makefile
                    .lines()
                    .any(|line| line.starts_with(&format!("{target}:")));
                assert!(exists, "{}: {code}", page.display());
                named += 1;
            }
            if let Some((_, rest)) = code.split_once("cargo run -p ") {
                let package = rest.split_whitespace().next().unwrap();
                let in_platform = format!("crates/platform/{}", package.trim_start_matches("berth-"));
                let folders = [package, &format!("crates/{package}"), &in_platform];
                let exists = folders.map(|folder| root().join(folder).join("Cargo.toml").exists());
                assert!(exists.contains(&true), "{}: {code}", page.display());
                named += 1;
            }
        }
    }
    assert!(named > 8, "{named}");
}

#[test]
fn every_path_that_the_rules_of_the_tree_name_exists() {
    let mut named = 0;
    for page in ["AGENTS.md", "llms.txt", "docs/README.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let mut paths = code(&text);
        let is_path = |code: &&str| {
            let is_name = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
            let roots = ["crates", "config", "docs", "migration", "clippy.toml"];
            code.chars().all(is_name)
                && (code.ends_with(".md") || roots.iter().any(|root| code.starts_with(root)))
        };
        paths.retain(is_path);
        for path in paths {
            assert!(root().join(path).exists(), "{page}: {path}");
            named += 1;
        }
    }
    assert!(named > 15, "{named}");
}

#[test]
fn every_page_is_a_chapter_and_the_code_of_every_how_to_is_compiled() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let compiled = fs::read_to_string(docs.join("how-to/doctests.rs")).unwrap();
    let mut chapters = 0;
    for page in pages().iter().filter_map(|page| page.strip_prefix(&docs).ok()) {
        let name = page.display().to_string();
        if name == "SUMMARY.md" {
            continue;
        }
        assert!(
            summary.contains(&format!("({name})")),
            "docs/SUMMARY.md lacks {name}"
        );
        let text = fs::read_to_string(docs.join(page)).unwrap();
        if let (Some(how_to), true) = (name.strip_prefix("how-to/"), text.contains("```rust")) {
            let included = compiled.contains(&format!("include_str!(\"{how_to}\")"));
            assert!(included, "docs/how-to/doctests.rs lacks {how_to}");
        }
        chapters += 1;
    }
    assert!(chapters > 10, "{chapters}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The documents of the tree, those of its crates included.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("llms.txt")];
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_built =
                name.starts_with('.') || ["target", "book", "data", "node_modules"].contains(&&*name);
            match path.is_dir() {
                true if !is_built => folders.push(path),
                false if name.ends_with(".md") => pages.push(path),
                _ => {}
            }
        }
    }
    pages
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

/// The text without its blocks and spans of code.
fn without_code(text: &str) -> String {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').step_by(2)).collect()
}

/// The anchors that GitHub and mdBook give to the headings of a page.
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
