//! Takes a generated table back, as long as nothing of it is committed.

use super::names::Name;
use super::plan::Plan;
use super::{Run, finish, tree};
use crate::error::Error;
use crate::git::Repository;

/// Removes the files of a table, the lines that list it, and the migrations of its columns.
pub(crate) fn undo(here: &Repository, one: &str, many: Option<&str>, run: Run) -> Result<(), Error> {
    let name = Name::of_table(one, many)?;
    let files = tree::files(&name);
    if !files.iter().all(|file| here.root.join(file).exists()) {
        return Err(Error::table(&name.many, "the generator made no such table"));
    }
    let mut plan = Plan::new(&here.root);
    for file in &files {
        refuse_committed(here, file, &name)?;
        plan.remove(file);
    }
    for module in migrations(here, &name)? {
        let file = format!("migration/src/{module}.rs");
        refuse_committed(here, &file, &name)?;
        plan.remove(&file);
        tree::unregister_migration(&mut plan, &module)?;
    }
    tree::unregister(&mut plan, &name)?;
    unrelate(here, &mut plan, &name)?;
    finish(here, &plan, run)?;
    if run == Run::Make {
        println!(
            "The table {} is gone from the code. A database that has it already keeps it.",
            name.many
        );
    }
    Ok(())
}

fn refuse_committed(here: &Repository, file: &str, name: &Name) -> Result<(), Error> {
    match here.files(file)?.is_empty() {
        true => Ok(()),
        false => Err(Error::table(
            &name.many,
            format!("{file} is tracked by git: remove the table by a migration and by hand"),
        )),
    }
}

/// The migrations of the table and of columns that were added to it.
fn migrations(here: &Repository, name: &Name) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(here.root.join("migration/src"))? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        let Some(module) = file.strip_suffix(".rs") else {
            continue;
        };
        let is_creation = module.ends_with(&format!("_create_{}", name.many));
        let is_column = module.contains("_add_") && module.ends_with(&format!("_to_{}", name.many));
        if is_creation || is_column {
            found.push(module.to_owned());
        }
    }
    Ok(found)
}

/// Removes the other side of the table's references, and refuses where another table refers to it.
fn unrelate(here: &Repository, plan: &mut Plan, name: &Name) -> Result<(), Error> {
    let entity = format!("crate::{}::Entity", name.one);
    let own = format!("{}/{}.rs", tree::ENTITIES, name.one);
    for target in tree::tables(&here.root)? {
        let text = plan.read(&target.file).unwrap_or_default();
        if target.file == own || !text.contains(&entity) {
            continue;
        }
        if text.contains(&format!("BelongsTo<{entity}>"))
            || text.contains(&format!("BelongsTo<Option<{entity}>>"))
        {
            return Err(Error::table(
                &name.many,
                format!("{} refers to it: take that back first", target.table),
            ));
        }
        let lines: Vec<&str> = text.lines().collect();
        let is_other_side = |line: &str| line.contains(&format!(": HasMany<{entity}>,"));
        let kept = lines.iter().enumerate().filter(|(index, line)| {
            let belongs =
                lines.get(index + 1).is_some_and(|next| is_other_side(next)) && line.contains("#[sea_orm(");
            !is_other_side(line) && !belongs
        });
        let kept: Vec<&str> = kept.map(|(_, line)| *line).collect();
        plan.write(&target.file, kept.join("\n") + "\n");
    }
    Ok(())
}
