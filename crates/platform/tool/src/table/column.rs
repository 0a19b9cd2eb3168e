//! Adds a field to a table that the generator made: a migration, and the field everywhere.

use minijinja::context;

use super::field::{self, Kind};
use super::names::Name;
use super::plan::Plan;
use super::render::{Rendered, Table, render};
use super::tree::Target;
use super::{Run, finish, format_all, formatted, migration_name, relate, targets, tree};
use crate::error::Error;
use crate::git::Repository;

/// Adds a column. A refusal, and a failure of any step, leaves every file as it was.
pub(crate) fn add(
    here: &Repository,
    one: &str,
    many: Option<&str>,
    text: &str,
    run: Run,
) -> Result<(), Error> {
    let name = Name::of_table(one, many)?;
    let fields = field::parse(text)?;
    let [field] = &fields[..] else {
        return Err(Error::Field {
            field: text.to_owned(),
            rule: "one column at a time".to_owned(),
        });
    };
    if field.is_unique || !(field.is_optional || field.kind == Kind::Boolean) {
        return Err(Error::Field {
            field: text.to_owned(),
            rule: "rows that exist have no value for it: make it optional with `?`, or a boolean".to_owned(),
        });
    }
    let files = tree::files(&name);
    if let Some(missing) = files.iter().find(|file| !here.root.join(file).exists()) {
        return Err(Error::table(
            &name.many,
            format!("{missing} is missing; add the column by hand"),
        ));
    }
    let known = tree::tables(&here.root)?;
    let targets = targets(&fields, &known)?;
    if targets.iter().any(|target| target.table == name.many) {
        return Err(Error::table(
            &name.many,
            "a reference to the table itself is added by hand",
        ));
    }
    let entity = std::fs::read_to_string(here.root.join(&files[0]))?;
    let refers = |target: &Target| {
        let entity_there = format!("crate::{}::Entity>", target.module);
        target.table != "users" && entity.contains(&entity_there)
    };
    if let Some(target) = targets.iter().find(|target| refers(target)) {
        let rule = format!("it has a relation to {} already; name both by hand", target.table);
        return Err(Error::table(&name.many, rule));
    }
    let table = Table {
        name: &name,
        fields: &fields,
        targets: &targets,
    };
    let mut plan = Plan::new(&here.root);
    for rendered in table.rendered() {
        let migration = migration_name(&plan, &format!("add_{}_to_{}", rendered.column, name.many))?;
        let text = render("column", context! { many => &name.many, field => &rendered })?;
        plan.write(&format!("migration/src/{migration}.rs"), formatted(here, &text)?);
        tree::register_migration(&mut plan, &migration)?;
        enter(&mut plan, &table, &rendered)?;
        if let Some(target) = targets.first() {
            relate(
                &mut plan,
                target,
                &name,
                rendered.relation.as_deref(),
                &rendered.name,
            )?;
        }
    }
    let [entity, service, handlers, _] = &files;
    format_all(here, &mut plan, &[entity, service, handlers])?;
    finish(here, &plan, run)?;
    if run == Run::Make {
        println!(
            "The column is there. Test its rules in crates/api/tests/api/{}.rs.",
            name.many
        );
    }
    Ok(())
}

/// Enters the field in the entity, the input and the output.
fn enter(plan: &mut Plan, table: &Table<'_>, field: &Rendered) -> Result<(), Error> {
    let [entity, service, handlers, _] = tree::files(table.name);
    let kind = table.name.type_name();
    let code = match field.values.is_empty() {
        true => String::new(),
        false => table.enum_code(field)?,
    };
    plan.edit(&entity, |text| enter_row(text, field, &code))?;
    plan.edit(&service, |text| {
        let text = tree::add_field(
            text,
            &format!("pub struct Create{kind} {{"),
            &input(field),
            |_| false,
        )?;
        let text = match field.is_owned {
            true => enter_check(&text, field)?,
            false => text,
        };
        Some(import(text, "berth_service", &input(field)))
    })?;
    plan.edit(&handlers, |text| {
        let output = format!("    {}: {},", field.column, field.output_type);
        let is_next = |line: &str| line.starts_with("    created_at:");
        let text = tree::add_field(text, &format!("struct {kind} {{"), &output, is_next)?;
        Some(import(text, "berth_web", &output))
    })
}

fn input(field: &Rendered) -> String {
    let attributes = field.input_attributes.iter().map(|one| format!("    #[{one}]\n"));
    attributes.collect::<String>() + &format!("    pub {}: {},", field.column, field.input_type)
}

fn enter_row(text: &str, field: &Rendered, code: &str) -> Option<String> {
    let line = format!("    pub {}: {},", field.column, field.entity_type);
    let is_new = !text.contains(&format!("    pub {}: ", field.column));
    let attributes = field
        .entity_attributes
        .iter()
        .map(|one| format!("    #[sea_orm({one})]\n"));
    let row = attributes.collect::<String>() + &line;
    let is_next = |line: &str| line == "    /// Raised by each change.";
    let mut text = is_new.then(|| tree::add_field(text, "pub struct Model {", &row, is_next))??;
    if !field.target.is_empty() {
        let relation = field
            .relation
            .as_ref()
            .map(|name| format!("relation_enum = \"{name}\", "));
        let (relation, column) = (relation.unwrap_or_default(), &field.column);
        let keys = format!("from = \"{column}\", to = \"id\", on_delete = \"SetNull\"");
        let name = format!("pub {}: BelongsTo<{}>,", field.name, field.target_entity);
        let line = format!("    #[sea_orm(belongs_to, {relation}{keys})]\n    {name}");
        text = tree::add_field(&text, "pub struct Model {", &line, |_| false)?;
    }
    if !code.is_empty() {
        let end = "\nimpl ActiveModelBehavior";
        text = text.replacen(end, &format!("{code}{end}"), 1);
        for line in ["use serde::{Deserialize, Serialize};", "use utoipa::ToSchema;"] {
            if !text.contains(line) {
                text = text.replacen("prelude::*;\n", &format!("prelude::*;\n{line}\n"), 1);
            }
        }
    }
    Some(text)
}

/// Checks that the row referred to is the owner's, before a row is written.
fn enter_check(text: &str, field: &Rendered) -> Option<String> {
    let Rendered {
        name,
        column,
        target_module,
        ..
    } = field;
    let check = |input: &str, value: &str| {
        format!(
            "let {input} = {input}.validated()?;\n        self.{name}s_of(owner).check(\"{column}\", {value}).await?;"
        )
    };
    // Without a reference so far, the input is checked where it is written.
    let text = text
        .replacen(
            "self.of(owner).insert(new.validated()?).await",
            "let new = new.validated()?;\n        self.of(owner).insert(new).await",
            1,
        )
        .replacen(
            "self.of(owner).update(id, expected, change.validated()?).await",
            "let change = change.validated()?;\n        self.of(owner).update(id, expected, change).await",
            1,
        );
    let (create, update) = ("let new = new.validated()?;", "let change = change.validated()?;");
    if !text.contains(create) || !text.contains(update) || !text.ends_with("}\n") {
        return None;
    }
    let text = text.replacen(create, &check("new", &format!("new.{column}")), 1);
    let value = format!("change.{column}.flatten()");
    let text = text.replacen(update, &check("change", &value), 1);
    let body = "Owned::of(owner, self.session, self.services.clock())";
    let rows = format!("Owned<'_, entity::{target_module}::Entity>");
    let function =
        format!("\n    fn {name}s_of(&self, owner: Uuid) -> {rows} {{\n        {body}\n    }}\n}}\n");
    Some(text.trim_end().strip_suffix('}')?.to_owned() + &function)
}

/// Adds what the field's code needs to the imports.
fn import(mut text: String, from: &str, code: &str) -> String {
    let values = ["Base64", "Decimal", "NaiveDate", "Value", "DateTime", "Utc"].map(|name| (name, "value::"));
    let others = [("Trimmed", ""), ("decimal", "rules::"), ("no_nul", "rules::")];
    let words = |text: &str, name: &str| {
        text.split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| word == name)
    };
    for (name, module) in values.into_iter().chain(others) {
        let head = text.split("\n///").next().unwrap_or_default();
        if words(code, name) && !words(head, name) {
            text = text.replacen("\nuse ", &format!("\nuse {from}::{module}{name};\nuse "), 1);
        }
    }
    text
}
