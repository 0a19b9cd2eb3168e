//! Entities and services for tables that a database has already, by SeaORM's own generator.
//!
//! They are a crate of their own, `crates/existing`: no migration of this service makes these tables, so they stay apart
//! from the entities that a test compares with the migrations.

mod discover;
mod manifests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use heck::{ToSnakeCase, ToUpperCamelCase};
use sea_orm_codegen::{
    BannerVersion, BigIntegerType, DateTimeCrate, EntityFormat, EntityTransformer, EntityWriterContext,
    WithPrelude, WithSerde,
};

use self::discover::Table;
use crate::error::Error;
use crate::git::Repository;

/// The schema whose tables a service may change. Other schemas belong to others, such as Supabase's `auth`.
const OWN_SCHEMA: &str = "public";
const ENTITIES: &str = "crates/existing/src";
const SERVICES: &str = "crates/service/src/existing";
const SERVICE: &str = include_str!("entities/service.rs.txt");
const CHANGES: &str = include_str!("entities/changes.rs.txt");

/// Writes entities and services for tables of `DATABASE_URL`; without tables, lists those that there are.
///
/// Everything that can be refused is refused before a file changes. Entities are written anew, services that exist stay.
pub(crate) fn entities(here: &Repository, tables: &[String]) -> Result<(), Error> {
    let url = database_url(&here.root)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let found = runtime.block_on(discover::tables(&url))?;
    if tables.is_empty() {
        found.iter().for_each(|table| println!("{}", table.full_name()));
        return Ok(());
    }
    let chosen = choose(found, tables)?;
    for (schema, tables) in &chosen {
        write_entities(&here.root, schema, tables)?;
        for table in tables {
            write_service(&here.root, table)?;
        }
    }
    list_modules(
        &here.root.join(ENTITIES),
        "lib.rs",
        "//! Tables that the database had before this service, as SeaORM's generator sees them.\n\n",
    )?;
    list_services(&here.root)?;
    manifests::register(&here.root)?;
    let count: usize = chosen.values().map(Vec::len).sum();
    println!("{count} tables: entities in crates/existing, services in {SERVICES}.");
    Ok(())
}

/// `DATABASE_URL` of the environment or of `.env`.
fn database_url(root: &Path) -> Result<String, Error> {
    let dotenv = || {
        let mut pairs = dotenvy::from_path_iter(root.join(".env"))
            .ok()?
            .filter_map(Result::ok);
        pairs.find_map(|(key, value)| (key == "DATABASE_URL").then_some(value))
    };
    let url = std::env::var("DATABASE_URL").ok().or_else(dotenv);
    url.filter(|url| url.starts_with("postgres"))
        .ok_or(Error::NoDatabase)
}

/// The tables that were asked for, by schema.
fn choose(found: Vec<Table>, wanted: &[String]) -> Result<BTreeMap<String, Vec<Table>>, Error> {
    let mut known: BTreeMap<String, Table> = found
        .into_iter()
        .map(|table| (table.full_name(), table))
        .collect();
    let mut chosen: BTreeMap<String, Vec<Table>> = BTreeMap::new();
    for name in wanted.iter().collect::<BTreeSet<_>>() {
        let name = name.strip_prefix("public.").unwrap_or(name);
        let Some(table) = known.remove(name) else {
            let others = known.into_keys().collect();
            return Err(Error::NoSuchTable {
                table: name.to_owned(),
                others,
            });
        };
        if table.primary_key().is_empty() {
            return Err(Error::NoPrimaryKey(table.full_name()));
        }
        chosen.entry(table.schema.clone()).or_default().push(table);
    }
    Ok(chosen)
}

fn write_entities(root: &Path, schema: &str, tables: &[Table]) -> Result<(), Error> {
    let names: BTreeSet<&str> = tables.iter().map(|table| table.name()).collect();
    let statements = tables.iter().map(|table| table.statement(&names)).collect();
    let context = EntityWriterContext::new(
        EntityFormat::Compact,
        WithPrelude::None,
        WithSerde::None,
        true,
        DateTimeCrate::Chrono,
        BigIntegerType::I64,
        (schema != OWN_SCHEMA).then(|| schema.to_owned()),
        false,
        false,
        false,
        Vec::new(),
        Vec::new(),
        Vec::new(),
        Vec::new(),
        Vec::new(),
        false,
        true,
        BannerVersion::Off,
    );
    let writer =
        EntityTransformer::transform(statements).map_err(|error| Error::Generator(error.to_string()))?;
    let mut folder = root.join(ENTITIES);
    if schema != OWN_SCHEMA {
        folder = folder.join(schema.to_snake_case());
    }
    std::fs::create_dir_all(&folder)?;
    for file in writer.generate(&context).files {
        if !["mod.rs", "lib.rs", "prelude.rs"].contains(&file.name.as_str()) {
            std::fs::write(folder.join(&file.name), file.content)?;
        }
    }
    if schema != OWN_SCHEMA {
        let head = format!("//! Tables of the schema `{schema}`, which others change.\n\n");
        list_modules(&folder, &format!("../{}.rs", schema.to_snake_case()), &head)?;
    }
    Ok(())
}

fn write_service(root: &Path, table: &Table) -> Result<(), Error> {
    let path = root.join(SERVICES).join(service_module(table) + ".rs");
    if path.exists() {
        return Ok(());
    }
    let columns: Vec<String> = table
        .primary_key()
        .iter()
        .map(|column| format!("Column::{}", column.to_upper_camel_case()))
        .collect();
    let cursor = match columns.as_slice() {
        [one] => one.clone(),
        several => format!("({})", several.join(", ")),
    };
    let (changes, imports) = match table.schema == OWN_SCHEMA {
        true => (CHANGES, ("ActiveModel, ", "ActiveModelTrait, ")),
        false => ("", ("", "")),
    };
    let text = SERVICE
        .replace("{changes}", changes)
        .replace("{active_model}", imports.0)
        .replace("{active_model_trait}", imports.1)
        .replace("{table}", &table.full_name())
        .replace("{entity}", &entity_module(table))
        .replace("{Service}", &service_module(table).to_upper_camel_case())
        .replace("{cursor}", &cursor);
    std::fs::create_dir_all(root.join(SERVICES))?;
    Ok(std::fs::write(path, text)?)
}

fn entity_module(table: &Table) -> String {
    let name = table.name().to_snake_case();
    match table.schema == OWN_SCHEMA {
        true => name,
        false => format!("{}::{name}", table.schema.to_snake_case()),
    }
}

/// `customers`, and `auth_users` for a table of another schema.
fn service_module(table: &Table) -> String {
    entity_module(table).replace("::", "_")
}

/// Writes `existing.rs` of the services: their modules, and a factory for each.
fn list_services(root: &Path) -> std::io::Result<()> {
    let names = modules(&root.join(SERVICES))?;
    let mut text = "//! Services for tables that the database had before this service.\n\n".to_owned();
    names.iter().for_each(|name| text += &format!("mod {name};\n"));
    text += "\nuse berth_database::Session;\n\nuse crate::Services;\n\n";
    names
        .iter()
        .for_each(|name| text += &format!("pub use self::{name}::{};\n", name.to_upper_camel_case()));
    text += "\nimpl Services {\n";
    let factories = names.iter().map(|name| {
        let service = name.to_upper_camel_case();
        format!(
            "    /// Returns the service for `{name}`, which works in this session.\n    \
             pub fn {name}<'a>(&'a self, session: &'a Session) -> {service}<'a> {{\n        {service}::new(session)\n    }}\n"
        )
    });
    text += &factories.collect::<Vec<_>>().join("\n");
    std::fs::write(root.join(SERVICES).with_extension("rs"), text + "}\n")
}

/// Writes a file that lists the modules of a folder.
fn list_modules(folder: &Path, file: &str, head: &str) -> std::io::Result<()> {
    let names = modules(folder)?;
    let lines = names.iter().map(|name| format!("pub mod {name};\n"));
    std::fs::write(folder.join(file), head.to_owned() + &lines.collect::<String>())
}

/// The modules in a folder, in alphabetical order.
fn modules(folder: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.extension().is_some_and(|extension| extension == "rs") && name != "lib" {
            names.insert(name);
        }
    }
    Ok(names)
}
