//! Adds a table to a service: migration, entity, service, handlers and tests; and takes it back.

mod column;
mod field;
mod names;
mod plan;
mod render;
mod tree;
mod undo;

use std::io::Write;
use std::process::{Command, Stdio};

use chrono::Utc;

pub(crate) use self::column::add as add_column;
use self::field::{Field, Kind};
use self::names::Name;
use self::plan::Plan;
use self::render::Table;
use self::tree::Target;
pub(crate) use self::undo::undo;
use crate::error::Error;
use crate::git::Repository;

const DOCUMENT: &str = "docs/openapi.json";

/// Whether the changes are made or only shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    Make,
    Show,
}

impl Run {
    /// The choice of the command line.
    pub(crate) fn of(is_dry: bool) -> Self {
        match is_dry {
            true => Self::Show,
            false => Self::Make,
        }
    }
}

/// Adds a table. A refusal, and a failure of any step, leaves every file as it was.
pub(crate) fn add(
    here: &Repository,
    one: &str,
    many: Option<&str>,
    fields: &str,
    run: Run,
) -> Result<(), Error> {
    let name = Name::of_table(one, many)?;
    let fields = field::parse(fields)?;
    let known = tree::tables(&here.root)?;
    refuse_existing(here, &name, &known)?;
    let targets = targets(&fields, &known)?;
    let table = Table {
        name: &name,
        fields: &fields,
        targets: &targets,
    };
    let mut plan = Plan::new(&here.root);
    let [entity, service, handlers, test] = tree::files(&name);
    let migration = migration_name(&plan, &format!("create_{}", name.many))?;
    let files = [
        (entity, "entity"),
        (service, "service"),
        (handlers, "handlers"),
        (test, "test"),
        (format!("migration/src/{migration}.rs"), "migration"),
    ];
    for (file, template) in files {
        plan.write(&file, formatted(here, &table.fill(template)?)?);
    }
    tree::register(&mut plan, &name)?;
    tree::register_migration(&mut plan, &migration)?;
    for rendered in table.rendered() {
        if let Some(target) = targets.iter().find(|target| target.table == rendered.target) {
            relate(
                &mut plan,
                target,
                &name,
                rendered.relation.as_deref(),
                &rendered.name,
            )?;
        }
    }
    format_all(here, &mut plan, &[tree::SERVICE_LIST])?;
    finish(here, &plan, run)?;
    if run == Run::Make {
        println!(
            "The table {} is there: /api/v1/{}. `make test` runs its tests.",
            name.many, name.many
        );
    }
    Ok(())
}

fn refuse_existing(here: &Repository, name: &Name, known: &[Target]) -> Result<(), Error> {
    if known.iter().any(|target| target.table == name.many) {
        return Err(Error::table(&name.many, "the table exists"));
    }
    match tree::files(name)
        .into_iter()
        .find(|file| here.root.join(file).exists())
    {
        Some(file) => Err(Error::table(&name.many, format!("{file} exists"))),
        None => Ok(()),
    }
}

/// The tables that the fields refer to, one for each such field.
fn targets(fields: &[Field], known: &[Target]) -> Result<Vec<Target>, Error> {
    let referring = fields.iter().filter_map(|field| match &field.kind {
        Kind::References(table) => Some(table),
        _ => None,
    });
    let find = |table: &String| {
        let found = known.iter().find(|target| target.table == *table);
        let found =
            found.ok_or_else(|| Error::table(table, "no entity describes this table; make it first"))?;
        if found.module.starts_with("sample::") {
            let rule = "belongs to the example, which can be removed: move its files out of the folders `sample` first";
            return Err(Error::table(table, rule));
        }
        if !found.is_owned && found.table != "users" {
            let rule = "its rows have no owner, so that the tests cannot make one: add the reference by hand";
            return Err(Error::table(table, rule));
        }
        Ok(found.clone())
    };
    referring.map(find).collect()
}

/// Adds the other side of a reference to the entity that is referred to.
fn relate(
    plan: &mut Plan,
    target: &Target,
    name: &Name,
    relation: Option<&str>,
    field: &str,
) -> Result<(), Error> {
    let (attribute, name_there) = match relation {
        None => ("has_many".to_owned(), name.many.clone()),
        Some(relation) => {
            let there = format!("{field}_{}", name.many);
            let variant = heck::ToUpperCamelCase::to_upper_camel_case(&*there);
            (
                format!("has_many, relation_enum = \"{variant}\", via_rel = \"{relation}\""),
                there,
            )
        }
    };
    let (here, module) = (format!("    pub {name_there}: "), &name.one);
    plan.edit(&target.file, |text| {
        let line =
            format!("    #[sea_orm({attribute})]\n    pub {name_there}: HasMany<crate::{module}::Entity>,");
        let is_new = !text.contains(&here);
        is_new.then(|| tree::add_field(text, "pub struct Model {", &line, |_| false))?
    })
}

/// A module name for a migration that sorts after those that are there.
fn migration_name(plan: &Plan, what: &str) -> Result<String, Error> {
    let list = plan.read(tree::MIGRATION_LIST)?;
    let mut time = Utc::now();
    loop {
        let name = format!("m{}", time.format("%Y%m%d_%H%M%S"));
        if !list.contains(&name) {
            return Ok(format!("{name}_{what}"));
        }
        time += chrono::TimeDelta::seconds(1);
    }
}

fn format_all(here: &Repository, plan: &mut Plan, files: &[&str]) -> Result<(), Error> {
    for file in files {
        let text = formatted(here, &plan.read(file)?)?;
        plan.write(file, text);
    }
    Ok(())
}

/// Formats a file as `cargo fmt` would.
fn formatted(here: &Repository, text: &str) -> Result<String, Error> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout", "--config-path"])
        .arg(&here.root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = rustfmt.stdin.take() {
        input.write_all(text.as_bytes())?;
    }
    let output = rustfmt.wait_with_output()?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(Error::Failed {
            command: "rustfmt",
            reason: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
    }
}

/// Shows the plan, or makes it and writes the API document, which compiles the service.
fn finish(here: &Repository, plan: &Plan, run: Run) -> Result<(), Error> {
    print!("{}", plan.describe());
    if run == Run::Show {
        return Ok(());
    }
    println!("Compiling, for {DOCUMENT} ...");
    plan.apply(|| {
        let output = Command::new("cargo")
            .current_dir(&here.root)
            .args(["run", "--quiet", "--bin", "api", "--", "openapi"])
            .output()?;
        match output.status.success() {
            true => Ok(std::fs::write(here.root.join(DOCUMENT), output.stdout)?),
            false => Err(Error::Failed {
                command: "cargo run --bin api -- openapi",
                reason: String::from_utf8_lossy(&output.stderr).into_owned(),
            }),
        }
    })
}
