//! Makes `crates/existing` a crate of the workspace that the services use.

use std::path::Path;

use toml_edit::{Array, DocumentMut, InlineTable, Item, value};

use crate::error::Error;

const MANIFEST: &str = "[package]
name = \"existing\"
description = \"Tables that the database had before this service\"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[dependencies]
sea-orm.workspace = true
";

/// Writes the crate's manifest, and names the crate in those that need it. What is there already stays.
pub(super) fn register(root: &Path) -> Result<(), Error> {
    let own = root.join("crates/existing/Cargo.toml");
    if !own.exists() {
        std::fs::write(own, MANIFEST)?;
    }
    edit(root, "Cargo.toml", |manifest| {
        let members = manifest["workspace"]["members"].or_insert(Item::Value(Array::new().into()));
        if let Some(members) = members.as_array_mut()
            && !members
                .iter()
                .any(|member| member.as_str() == Some("crates/existing"))
        {
            members.insert(1, "crates/existing");
        }
        let mut path = InlineTable::new();
        path.insert("path", "crates/existing".into());
        manifest["workspace"]["dependencies"]["existing"].or_insert(value(path));
    })?;
    edit(root, "crates/service/Cargo.toml", |manifest| {
        let existing = &mut manifest["dependencies"]["existing"];
        if existing.is_none() {
            *existing = Item::Table(toml_edit::Table::new());
            existing["workspace"] = value(true);
            if let Some(table) = existing.as_table_mut() {
                table.set_dotted(true);
            }
        }
    })?;
    let library = root.join("crates/service/src/lib.rs");
    let text = std::fs::read_to_string(&library)?;
    if !text.contains("pub mod existing;") {
        let at = text
            .lines()
            .position(|line| line.starts_with("mod ") || line.starts_with("pub mod "));
        let mut lines: Vec<&str> = text.lines().collect();
        lines.insert(at.unwrap_or(lines.len()), "pub mod existing;");
        std::fs::write(library, lines.join("\n") + "\n")?;
    }
    Ok(())
}

fn edit(root: &Path, file: &str, change: impl FnOnce(&mut DocumentMut)) -> Result<(), Error> {
    let text = std::fs::read_to_string(root.join(file))?;
    let mut manifest: DocumentMut = text.parse().map_err(|source| Error::Toml {
        file: file.to_owned(),
        source,
    })?;
    change(&mut manifest);
    Ok(std::fs::write(root.join(file), manifest.to_string())?)
}
