//! The service's tree: which tables it has, and the lines that list what a table adds.

use std::path::Path;

use super::names::Name;
use super::plan::Plan;
use crate::error::Error;

pub(crate) const ENTITIES: &str = "crates/entity/src";
pub(crate) const ENTITY_LIST: &str = "crates/entity/src/lib.rs";
pub(crate) const SERVICE_LIST: &str = "crates/service/src/lib.rs";
pub(crate) const HANDLER_LIST: &str = "crates/api/src/handlers.rs";
pub(crate) const TEST_LIST: &str = "crates/api/tests/api/main.rs";
pub(crate) const MIGRATION_LIST: &str = "migration/src/lib.rs";

/// A table that others can refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) table: String,
    /// Below `entity`.
    pub(crate) module: String,
    /// The entity's file.
    pub(crate) file: String,
    /// Whether its rows have an owner, as those of generated tables.
    pub(crate) is_owned: bool,
}

/// The files of a table, but for its migration.
pub(crate) fn files(name: &Name) -> [String; 4] {
    let Name { one, many } = name;
    [
        format!("{ENTITIES}/{one}.rs"),
        format!("crates/service/src/{many}.rs"),
        format!("crates/api/src/handlers/{many}.rs"),
        format!("crates/api/tests/api/{many}.rs"),
    ]
}

/// Every table that an entity describes, those of the example included, which begin with `sample::`.
pub(crate) fn tables(root: &Path) -> Result<Vec<Target>, Error> {
    let mut found = Vec::new();
    for (folder, prefix) in [("", ""), ("/sample", "sample::")] {
        let folder = format!("{ENTITIES}{folder}");
        let Ok(entries) = std::fs::read_dir(root.join(&folder)) else {
            continue;
        };
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let Some(stem) = name.strip_suffix(".rs") else {
                continue;
            };
            let file = format!("{folder}/{name}");
            let text = std::fs::read_to_string(root.join(&file))?;
            let table = text
                .split("table_name = \"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            if let Some(table) = table {
                found.push(Target {
                    table: table.to_owned(),
                    module: format!("{prefix}{stem}"),
                    is_owned: text.contains("berth_service::owned!()"),
                    file,
                });
            }
        }
    }
    Ok(found)
}

/// Enters a table in the lists of all crates.
pub(crate) fn register(plan: &mut Plan, name: &Name) -> Result<(), Error> {
    let Name { one, many } = name;
    let (kind, service) = (name.type_name(), name.service_name());
    plan.edit(ENTITY_LIST, |text| {
        add_line(text, &format!("pub mod {one};"), is_module)
    })?;
    plan.edit(SERVICE_LIST, |text| {
        let text = add_line(text, &format!("mod {many};"), is_module)?;
        let line = format!("pub use self::{many}::{{Create{kind}, {kind}Filter, {service}, Update{kind}}};");
        add_line(&text, &line, |line| line.starts_with("pub use self::"))
    })?;
    plan.edit(HANDLER_LIST, |text| {
        let text = add_line(text, &format!("mod {many};"), is_module)?;
        add_line(&text, &format!("        {many}::routes(),"), is_route)
    })?;
    plan.edit(TEST_LIST, |text| add_line(text, &format!("mod {many};"), is_test))
}

/// Takes a table out of the lists.
pub(crate) fn unregister(plan: &mut Plan, name: &Name) -> Result<(), Error> {
    let Name { one, many } = name;
    plan.edit(ENTITY_LIST, |text| {
        remove_line(text, |line| line == format!("pub mod {one};"))
    })?;
    plan.edit(SERVICE_LIST, |text| {
        let text = remove_line(text, |line| line == format!("mod {many};"))?;
        remove_line(&text, |line| line.starts_with(&format!("pub use self::{many}::")))
    })?;
    plan.edit(HANDLER_LIST, |text| {
        let text = remove_line(text, |line| line == format!("mod {many};"))?;
        remove_line(&text, |line| line.trim() == format!("{many}::routes(),"))
    })?;
    plan.edit(TEST_LIST, |text| {
        remove_line(text, |line| line == format!("mod {many};"))
    })
}

/// Enters a migration as the last one.
pub(crate) fn register_migration(plan: &mut Plan, module: &str) -> Result<(), Error> {
    plan.edit(MIGRATION_LIST, |text| {
        let last = text.lines().rfind(|line| line.starts_with("mod m2"));
        let text = match last {
            Some(last) => text.replacen(last, &format!("{last}\nmod {module};"), 1),
            None => text.replacen(
                "\nuse sea_orm_migration",
                &format!("\nmod {module};\n\nuse sea_orm_migration"),
                1,
            ),
        };
        let (before, after) = text.split_once("\n        ];")?;
        Some(format!(
            "{before}\n            Box::new({module}::Migration),\n        ];{after}"
        ))
    })
}

/// Takes a migration out of the list.
pub(crate) fn unregister_migration(plan: &mut Plan, module: &str) -> Result<(), Error> {
    plan.edit(MIGRATION_LIST, |text| {
        let text = remove_line(text, |line| line == format!("mod {module};"))?;
        remove_line(&text, |line| {
            line.trim() == format!("Box::new({module}::Migration),")
        })
    })
}

/// Adds a field to a struct as its last one, or before the line that `before` finds in it.
pub(crate) fn add_field(
    text: &str,
    head: &str,
    field: &str,
    before: impl Fn(&str) -> bool,
) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().position(|line| line.starts_with(head))?;
    let end = start + lines[start..].iter().position(|line| line.trim_end() == "}")?;
    let place = lines[start..end]
        .iter()
        .position(|line| before(line))
        .map_or(end, |place| start + place);
    let mut new: Vec<&str> = lines[..place].to_vec();
    new.extend(field.lines());
    new.extend(&lines[place..]);
    Some(new.join("\n") + "\n")
}

fn is_module(line: &str) -> bool {
    (line.starts_with("mod ") || line.starts_with("pub mod ")) && line.contains(';')
}

/// The helpers stand above the tests, in an order of their own.
fn is_test(line: &str) -> bool {
    is_module(line) && !["mod server;", "mod start;"].contains(&line)
}

fn is_route(line: &str) -> bool {
    line.starts_with("        ") && line.ends_with("::routes(),") && !line.contains("crate::")
}

/// Adds a line to the lines that `belongs` finds, in the order of the alphabet.
fn add_line(text: &str, new: &str, belongs: impl Fn(&str) -> bool) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let own = |line: &&str| belongs(line);
    let after = lines
        .iter()
        .position(|line| own(line) && sorted_by(line) > sorted_by(new));
    let place = match after {
        // Attributes stay with their line.
        Some(place) => {
            place
                - lines[..place]
                    .iter()
                    .rev()
                    .take_while(|line| line.starts_with("#["))
                    .count()
        }
        None => lines.iter().rposition(own)? + 1,
    };
    let mut lines = lines;
    lines.insert(place, new);
    Some(lines.join("\n") + "\n")
}

fn sorted_by(line: &str) -> &str {
    let line = line.trim();
    line.strip_prefix("pub ")
        .filter(|line| line.starts_with("mod "))
        .unwrap_or(line)
}

/// Removes the one line that `is_it` finds.
pub(crate) fn remove_line(text: &str, is_it: impl Fn(&str) -> bool) -> Option<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !is_it(line)).collect();
    (lines.len() + 1 == text.lines().count()).then(|| lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_to_its_place_and_comes_back() {
        let list = "//! Doc.\n\npub mod sample; // sample\npub mod user;\n";
        for (line, place) in [("pub mod invoice;", 2), ("mod tag;", 3), ("pub mod zebra;", 4)] {
            let added = add_line(list, line, is_module).expect("a list");
            assert_eq!(added.lines().nth(place), Some(line), "{added}");
            assert_eq!(remove_line(&added, |one| one == line).as_deref(), Some(list));
        }
        let with_attribute = add_line("mod a;\n#[cfg(x)]\nmod c;\n", "mod b;", is_module);
        assert_eq!(
            with_attribute.as_deref(),
            Some("mod a;\nmod b;\n#[cfg(x)]\nmod c;\n")
        );
        assert_eq!(add_line("//! Doc.\n", "mod a;", is_module), None);
        assert_eq!(remove_line(list, |line| line.is_empty() && line == "x"), None);
    }

    #[test]
    fn a_field_is_added_to_the_struct_that_is_meant() {
        let text = "pub struct A {\n    a: u8,\n}\n\npub struct B {\n    b: u8,\n    created_at: u8,\n}\n";
        let last = add_field(text, "pub struct A {", "    c: u8,", |_| false).expect("a struct");
        assert!(
            last.starts_with("pub struct A {\n    a: u8,\n    c: u8,\n}\n"),
            "{last}"
        );
        let before = add_field(text, "pub struct B {", "    c: u8,", |line| {
            line.contains("created_at")
        });
        assert!(
            before
                .expect("a struct")
                .ends_with("    b: u8,\n    c: u8,\n    created_at: u8,\n}\n")
        );
        assert_eq!(add_field(text, "pub struct C {", "", |_| false), None);
    }
}
