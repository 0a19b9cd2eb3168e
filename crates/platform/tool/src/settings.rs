//! New settings of the platform, entered in the service's own `config/default.toml`.

/// A key with the comment above it, as it stands in a file.
#[derive(Debug, PartialEq)]
struct Paragraph<'t> {
    section: &'t str,
    key: &'t str,
    lines: Vec<&'t str>,
}

/// Enters the paragraphs of the given sections that the service's file lacks, each at the end of its section.
///
/// Returns the new text and the names of the keys that were entered. Nothing else changes.
pub(crate) fn enter_new(own: &str, platform: &str, sections: &[String]) -> (String, Vec<String>) {
    let known = paragraphs(own);
    let is_new = |paragraph: &Paragraph<'_>| {
        sections.iter().any(|section| section == paragraph.section)
            && !known
                .iter()
                .any(|known| (known.section, known.key) == (paragraph.section, paragraph.key))
    };
    let mut lines: Vec<&str> = own.lines().collect();
    let mut entered = Vec::new();
    let headings: Vec<String> = sections.iter().map(|section| format!("[{section}]")).collect();
    for paragraph in paragraphs(platform).into_iter().filter(is_new) {
        entered.push(format!("{}.{}", paragraph.section, paragraph.key));
        let end = match end_of(&lines, paragraph.section) {
            Some(end) => end,
            None => {
                let heading = headings
                    .iter()
                    .find(|heading| heading[1..heading.len() - 1] == *paragraph.section);
                lines.push("");
                lines.extend(heading.map(String::as_str));
                lines.len()
            }
        };
        let text = std::iter::once("").chain(paragraph.lines);
        lines.splice(end..end, text);
    }
    (lines.join("\n") + "\n", entered)
}

/// The line after the last one of a section that is not blank.
fn end_of(lines: &[&str], section: &str) -> Option<usize> {
    let heading = format!("[{section}]");
    let begin = lines.iter().position(|line| line.trim() == heading)? + 1;
    let next = lines[begin..].iter().position(|line| line.starts_with('['));
    // A comment above the next heading belongs to that.
    let end = next.map_or(lines.len(), |next| begin + next);
    let comment = lines[begin..end]
        .iter()
        .rev()
        .take_while(|line| line.starts_with('#'))
        .count();
    let end = if next.is_some() { end - comment } else { end };
    let blank = lines[begin..end]
        .iter()
        .rev()
        .take_while(|line| line.trim().is_empty())
        .count();
    Some(end - blank)
}

fn paragraphs(text: &str) -> Vec<Paragraph<'_>> {
    let mut found = Vec::new();
    let (mut section, mut comment) = ("", Vec::new());
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix('[') {
            section = heading.trim_end().trim_end_matches(']');
            comment.clear();
        } else if line.trim().is_empty() {
            comment.clear();
        } else if line.starts_with('#') {
            comment.push(line);
            // A key without a default stands commented out.
            let key = line.trim_start_matches(['#', ' ']).split_once(" = ");
            if let Some((key, _)) = key.filter(|(key, _)| is_key(key)) {
                found.push(Paragraph {
                    section,
                    key,
                    lines: std::mem::take(&mut comment),
                });
            }
        } else if let Some((key, _)) = line.split_once('=') {
            comment.push(line);
            found.push(Paragraph {
                section,
                key: key.trim(),
                lines: std::mem::take(&mut comment),
            });
        }
    }
    found
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "# Mine.\n[server]\n# The port.\nport = 9000\n\n# About the database.\n[database]\n# The limit.\nlimit = 20\n";
    const NEW: &str = "[server]\n# The port.\nport = 8080\n\n# The host.\nhost = \"::1\"\n\n[database]\n# The limit.\nlimit = 15\n\n\
        # A file.\n# password_file = \"/run/secret\"\n\n[jobs]\n# Workers.\nworkers = 2\n\n[example]\n# Not the platform's.\nx = 1\n";

    fn sections(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn new_keys_are_entered_in_their_sections_and_values_are_kept() {
        let (text, entered) = enter_new(OWN, NEW, &sections(&["server", "database", "jobs"]));
        assert_eq!(entered, ["server.host", "database.password_file", "jobs.workers"]);
        assert_eq!(
            text,
            "# Mine.\n[server]\n# The port.\nport = 9000\n\n# The host.\nhost = \"::1\"\n\n# About the database.\n[database]\n\
             # The limit.\nlimit = 20\n\n# A file.\n# password_file = \"/run/secret\"\n\n[jobs]\n\n# Workers.\nworkers = 2\n"
        );
    }

    #[test]
    fn a_file_that_has_all_keys_stays_as_it_is() {
        let (text, entered) = enter_new(NEW, NEW, &sections(&["server", "database", "jobs"]));
        assert_eq!((text.as_str(), entered.len()), (NEW, 0));
    }
}
