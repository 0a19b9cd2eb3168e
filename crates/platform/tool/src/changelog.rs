//! Extracts the changelog between two versions.

use semver::Version;

/// Returns the sections of the versions after `from`, up to `to`, as they stand: the newest first.
pub(crate) fn between(changelog: &str, from: &Version, to: &Version) -> String {
    let mut wanted = false;
    let mut text = String::new();
    for line in changelog.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            let number = heading.split_whitespace().next().unwrap_or_default();
            let version: Option<Version> = number.trim_matches(['[', ']']).parse().ok();
            wanted = version.is_some_and(|version| version > *from && version <= *to);
        }
        if wanted {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_versions_between_are_shown() {
        let changelog =
            "# Changelog\n\n## 0.4.0\n\nfour\n\n## 0.3.0 (2026-12-01)\n\nthree\n\n## 0.2.0\n\ntwo\n";
        let shown = between(changelog, &Version::new(0, 2, 0), &Version::new(0, 3, 0));
        assert_eq!(shown, "## 0.3.0 (2026-12-01)\n\nthree\n\n");
    }
}
