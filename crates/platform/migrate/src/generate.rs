//! Creates the file of a new migration and adds it to the list.

use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

/// The content of a new file; `things` is replaced by the table's name.
const TEMPLATE: &str = include_str!("generate/template.rs");

/// Writes `src/m<date>_<time>_<name>.rs` in the crate's folder, adds it to `src/lib.rs`, and returns its path.
///
/// # Errors
///
/// The name cannot be the name of a module, the folder is not that of the migration crate, or a file cannot be written.
pub(crate) fn generate(folder: &Path, name: &str, now: DateTime<Utc>) -> io::Result<PathBuf> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(letters) {
        return Err(unusable(
            "the name may contain only lower-case letters, digits and underscores",
        ));
    }
    let module = format!("m{}_{name}", now.format("%Y%m%d_%H%M%S"));
    let list = folder.join("src/lib.rs");
    let listed = enter(&std::fs::read_to_string(&list)?, &module)
        .ok_or_else(|| unusable("src/lib.rs does not list migrations in the expected form"))?;
    let path = folder.join("src").join(&module).with_extension("rs");
    let table = name.strip_prefix("create_").filter(|table| !table.is_empty());
    std::fs::write(&path, TEMPLATE.replace("things", table.unwrap_or("things")))?;
    std::fs::write(&list, listed)?;
    Ok(path)
}

/// Declares the module after the other migrations, before the first `use`, and adds it to the end of the list.
fn enter(list: &str, module: &str) -> Option<String> {
    let (modules, rest) = list.split_once("\n\nuse ")?;
    let (before, after) = rest.split_once("\n        ]")?;
    // The first migration begins a new paragraph.
    let gap = match modules.lines().last()?.starts_with("mod m") {
        true => "\n",
        false => "\n\n",
    };
    Some(format!(
        "{modules}{gap}mod {module};\n\nuse {before}\n            Box::new({module}::Migration),\n        ]{after}"
    ))
}

fn unusable(rule: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, rule)
}

#[cfg(test)]
mod tests {
    use super::enter;

    const LIST: &str = "//! The schema.\n\nmod m20260101_000001_create_users;\n\nuse sea_orm_migration::prelude::*;\n\n\
        pub struct Migrator;\n\nimpl MigratorTrait for Migrator {\n    fn migrations() -> Vec<Box<dyn MigrationTrait>> {\n\
        \x20       vec![\n            Box::new(m20260101_000001_create_users::Migration),\n        ]\n    }\n}\n";

    #[test]
    fn a_new_migration_is_the_last_of_the_real_list() {
        let entered = enter(LIST, "m29990101_000000_add_tags").expect("lists migrations");
        let declared = entered.find("mod m29990101_000000_add_tags;").expect("declared");
        let boxed = entered
            .find("Box::new(m29990101_000000_add_tags::Migration),\n        ]")
            .expect("last in the list");
        assert!(declared < boxed);
    }

    #[test]
    fn the_first_of_all_begins_a_list_and_the_second_follows() {
        let empty = "mod run;\n\nuse prelude;\n\n        vec![\n            // In order.\n        ]\n}\n";
        let first = enter(empty, "m1").expect("lists migrations");
        let second = enter(&first, "m2").expect("lists migrations");
        assert_eq!(
            second,
            "mod run;\n\nmod m1;\nmod m2;\n\nuse prelude;\n\n        vec![\n            // In order.\n            \
             Box::new(m1::Migration),\n            Box::new(m2::Migration),\n        ]\n}\n"
        );
    }
}
