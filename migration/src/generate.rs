//! Makes the file of a new migration and enters it in the list.

use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

const TEMPLATE: &str = "//! What this changes, and why.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(Table::create().table(\"things\").take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(\"things\").take()).await
    }
}
";

/// Writes `src/m<date>_<time>_<name>.rs` in the crate's folder, enters it in `src/lib.rs`, and returns its path.
///
/// # Errors
///
/// The name is not a module's, the folder is not this crate's, or a file cannot be written.
pub fn generate(folder: &Path, name: &str, now: DateTime<Utc>) -> io::Result<PathBuf> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(letters) {
        return Err(unusable(
            "a migration's name has lower-case letters, digits and underscores only",
        ));
    }
    let module = format!("m{}_{name}", now.format("%Y%m%d_%H%M%S"));
    let list = folder.join("src/lib.rs");
    let listed = enter(&std::fs::read_to_string(&list)?, &module)
        .ok_or_else(|| unusable("src/lib.rs does not list migrations in the usual way"))?;
    let path = folder.join("src").join(&module).with_extension("rs");
    std::fs::write(&path, TEMPLATE)?;
    std::fs::write(&list, listed)?;
    Ok(path)
}

/// Adds the module and its line after the last of each.
fn enter(list: &str, module: &str) -> Option<String> {
    let lines: Vec<&str> = list.lines().collect();
    let declared = lines.iter().rposition(|line| line.starts_with("mod m2"))?;
    let boxed = lines
        .iter()
        .rposition(|line| line.trim_start().starts_with("Box::new(m2"))?;
    let mut entered = String::new();
    for (at, line) in lines.iter().enumerate() {
        entered.push_str(line);
        entered.push('\n');
        if at == declared {
            entered.push_str(&format!("mod {module};\n"));
        }
        if at == boxed {
            entered.push_str(&format!("            Box::new({module}::Migration),\n"));
        }
    }
    Some(entered)
}

fn unusable(rule: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, rule)
}

#[cfg(test)]
mod tests {
    use super::enter;

    #[test]
    fn a_new_migration_is_the_last_of_the_real_list() {
        let entered = enter(include_str!("lib.rs"), "m29990101_000000_add_tags").expect("lists migrations");
        let declared = entered.find("mod m29990101_000000_add_tags;").expect("declared");
        let boxed = entered
            .find("Box::new(m29990101_000000_add_tags::Migration),\n        ]")
            .expect("last in the list");
        assert!(declared < boxed);
    }
}
