//! What the platform needs of the workspace's `Cargo.toml`, entered in the service's own.

use semver::{Version, VersionReq};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Value};

use crate::error::Error;

const FILE: &str = "Cargo.toml";

/// Raises the service's manifest to what the platform's needs, and returns what was changed.
///
/// Dependencies keep what the service added to them; those of the service alone are not touched. Comments and order stay.
pub(crate) fn raise(own: &str, platform: &str) -> Result<(String, Vec<String>), Error> {
    let mut own = parse(own)?;
    let platform = parse(platform)?;
    let mut changes = Vec::new();
    raise_dependencies(&mut own, &platform, &mut changes)?;
    raise_rust_version(&mut own, &platform, &mut changes);
    for table in ["lints", "profile"] {
        let path = if table == "lints" {
            vec!["workspace", "lints"]
        } else {
            vec!["profile"]
        };
        if let Some(needed) = get(&platform, &path) {
            let target = path.iter().fold(own.as_item_mut(), |item, &key| &mut item[key]);
            add_missing(target, needed, table, &mut changes);
        }
    }
    Ok((own.to_string(), changes))
}

fn parse(text: &str) -> Result<DocumentMut, Error> {
    text.parse().map_err(|source| Error::Toml {
        file: FILE.to_owned(),
        source,
    })
}

fn get<'d>(document: &'d DocumentMut, path: &[&str]) -> Option<&'d Item> {
    path.iter()
        .try_fold(document.as_item(), |item, key| item.get(key))
}

fn raise_dependencies(
    own: &mut DocumentMut,
    platform: &DocumentMut,
    changes: &mut Vec<String>,
) -> Result<(), Error> {
    let no_table = || Error::NoTable {
        file: FILE.to_owned(),
        table: "workspace.dependencies",
    };
    let needed = get(platform, &["workspace", "dependencies"])
        .and_then(Item::as_table_like)
        .ok_or_else(no_table)?;
    let kept = own["workspace"]["dependencies"]
        .as_table_like_mut()
        .ok_or_else(no_table)?;
    let gone: Vec<String> = kept
        .iter()
        .filter(|(name, item)| is_platform(item) && !needed.contains_key(name))
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in gone {
        kept.remove(&name);
        changes.push(format!("{name}: removed, the platform no longer has it"));
    }
    for (name, wanted) in needed.iter() {
        let own_path = path(wanted).is_some() && !is_platform(wanted);
        match kept.get_mut(name) {
            // A crate of the service's own.
            _ if own_path => {}
            None => {
                kept.insert(name, wanted.clone());
                changes.push(format!("{name}: added"));
            }
            Some(present) if is_platform(wanted) => {
                if present.to_string() != wanted.to_string() {
                    *present = wanted.clone();
                    changes.push(format!("{name}: {}", version(wanted).unwrap_or_default()));
                }
            }
            Some(present) => raise_dependency(name, present, wanted, changes),
        }
    }
    Ok(())
}

fn raise_dependency(name: &str, present: &mut Item, wanted: &Item, changes: &mut Vec<String>) {
    if let (Some(old), Some(new)) = (version(present), version(wanted))
        && least(&old) < least(&new)
    {
        changes.push(format!("{name}: {old} -> {new}"));
        set_version(present, &new);
    }
    let missing: Vec<String> = features(wanted)
        .into_iter()
        .filter(|feature| !features(present).contains(feature))
        .collect();
    if !missing.is_empty() {
        changes.push(format!("{name}: features {}", missing.join(", ")));
        add_features(present, &missing);
    }
}

fn raise_rust_version(own: &mut DocumentMut, platform: &DocumentMut, changes: &mut Vec<String>) {
    let path = ["workspace", "package", "rust-version"];
    let Some(needed) = get(platform, &path).and_then(Item::as_str) else {
        return;
    };
    let present = get(own, &path)
        .and_then(Item::as_str)
        .unwrap_or_default()
        .to_owned();
    if least(&present) < least(needed) {
        own["workspace"]["package"]["rust-version"] = toml_edit::value(needed);
        changes.push(format!("rust-version: {present} -> {needed}"));
    }
}

/// Adds tables and keys that are missing; what is there stays.
fn add_missing(present: &mut Item, needed: &Item, name: &str, changes: &mut Vec<String>) {
    let Some(needed_table) = needed.as_table_like() else {
        return;
    };
    if present.is_none() {
        *present = needed.clone();
        changes.push(format!("{name}: added"));
        return;
    }
    let Some(table) = present.as_table_like_mut() else {
        return;
    };
    for (key, item) in needed_table.iter() {
        let name = format!("{name}.{key}");
        match table.get_mut(key) {
            Some(present) => add_missing(present, item, &name, changes),
            None => {
                table.insert(key, item.clone());
                changes.push(format!("{name}: added"));
            }
        }
    }
}

fn path(item: &Item) -> Option<&str> {
    item.get("path").and_then(Item::as_str)
}

fn is_platform(item: &Item) -> bool {
    path(item).is_some_and(|path| path.starts_with("crates/platform/"))
}

fn version(item: &Item) -> Option<String> {
    let text = item.as_str().or_else(|| item.get("version")?.as_str())?;
    Some(text.to_owned())
}

/// The least version that a requirement allows.
fn least(requirement: &str) -> Version {
    let parsed = VersionReq::parse(requirement).ok();
    let first = parsed.as_ref().and_then(|parsed| parsed.comparators.first());
    first.map_or(Version::new(0, 0, 0), |first| {
        Version::new(first.major, first.minor.unwrap_or(0), first.patch.unwrap_or(0))
    })
}

fn features(item: &Item) -> Vec<String> {
    let list = item.get("features").and_then(Item::as_array);
    let names = list.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

fn set_version(item: &mut Item, version: &str) {
    match item.as_table_like_mut() {
        Some(table) => drop(table.insert("version", toml_edit::value(version))),
        None => *item = toml_edit::value(version),
    }
}

fn add_features(item: &mut Item, missing: &[String]) {
    if let Some(version) = item.as_str().map(str::to_owned) {
        let mut table = InlineTable::new();
        table.insert("version", version.into());
        *item = Item::Value(table.into());
    }
    let list = item["features"].or_insert(Item::Value(Array::new().into()));
    if let Some(list) = list.as_array_mut() {
        list.extend(missing.iter().map(String::as_str));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = r#"[workspace]
members = ["crates/*"]

[workspace.package]
version = "3.1.0"
rust-version = "1.90"

[workspace.dependencies]
# Mine.
berth-pool = { path = "crates/platform/pool", version = "0.2.0" }
berth-gone = { path = "crates/platform/gone", version = "0.2.0" }
shop = { path = "crates/shop" }
serde = { version = "1.0.100", features = ["rc"] } # mine too
tokio = "1.60"
rand = "0.9"

[workspace.lints.rust]
unsafe_code = "deny"
"#;
    const NEW: &str = r#"[workspace.package]
version = "0.3.0"
rust-version = "1.95"

[workspace.dependencies]
berth-pool = { path = "crates/platform/pool", version = "0.3.0" }
service = { path = "crates/service" }
serde = { version = "1.0.200", features = ["derive"] }
tokio = { version = "1.50", features = ["net"] }
uuid = "1"

[workspace.lints.rust]
unsafe_code = "forbid"
unreachable_pub = "warn"

[profile.dev]
debug = "line-tables-only"
"#;

    #[test]
    fn requirements_of_the_platform_are_raised_and_those_of_the_service_stay() {
        let (text, changes) = raise(OWN, NEW).unwrap();
        assert_eq!(
            changes,
            [
                "berth-gone: removed, the platform no longer has it",
                "berth-pool: 0.3.0",
                "serde: 1.0.100 -> 1.0.200",
                "serde: features derive",
                "tokio: features net",
                "uuid: added",
                "rust-version: 1.90 -> 1.95",
                "lints.rust.unreachable_pub: added",
                "profile: added",
            ]
        );
        for kept in [
            "# Mine.\n",
            "version = \"3.1.0\"",
            "shop = { path = \"crates/shop\" }",
            "# mine too",
            "rand = \"0.9\"",
            "unsafe_code = \"deny\"",
        ] {
            assert!(text.contains(kept), "{kept}\n{text}");
        }
        assert!(text.contains(r#"features = ["rc", "derive"]"#), "{text}");
        assert!(!text.contains("service ="), "{text}");
        let (again, changes) = raise(&text, NEW).unwrap();
        assert_eq!((again, changes.len()), (text, 0), "nothing is left to raise");
    }
}
