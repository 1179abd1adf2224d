//! `rethink export`: figures, tables and captions for a paper in a venue's measure, from what the store has.

use crate::commands::reproduce::chosen;
use crate::manuscript::{self, Item, ItemOrigin};
use crate::{Error, Result};
use rethink::study::{Stored, Study};
use rethink_nn::text::counted;
use rethink_plot::venue::Venue;
use std::path::PathBuf;

/// Writes the items named in `only` (where empty, those that suit the data) into `to` (where absent, `export-VENUE` in the
/// study's folder). Nothing is trained or measured: an item whose runs are not all in the store is left out, and said.
///
/// Errors: [`Error::Argument`] for an unknown name; [`Error::Missing`] where the store has no item whole; those of
/// [`Study::stored`] and [`manuscript::write`].
pub fn export(only: &[String], study: &Study, venue: Venue, to: Option<PathBuf>) -> Result<()> {
    let recipes = chosen(only, &study.data)?;
    println!("{study}");
    let (mut items, mut lacking) = (Vec::new(), Vec::new());
    for recipe in &recipes {
        match study.stored(recipe)? {
            Stored::Part { missing, of } => lacking.push((recipe, missing, of)),
            Stored::Whole(results) => {
                let product = recipe.make(&results, &study.note_of(&results))?;
                items.push(Item { recipe: *recipe, product, origin: ItemOrigin::of(&results) });
            }
        }
    }
    for (recipe, missing, of) in &lacking {
        println!(
            "{}: left out, {} of {of} missing in {}:",
            recipe.id,
            missing.len(),
            study.store().folder().display()
        );
        missing.iter().take(3).for_each(|what| println!("  {what}"));
        if missing.len() > 3 {
            println!("  and {} more", missing.len() - 3);
        }
        println!("  `{}` makes them", study.command_for(recipe.id));
    }
    // What is made of no runs is always whole, and alone not worth a paper unless it was asked for.
    let measured = items.iter().any(|item| item.origin.has_runs());
    let asked_for = items.iter().any(|item| only.iter().any(|id| id == item.recipe.id));
    if !measured && !asked_for && !lacking.is_empty() {
        return Err(Error::Missing {
            what: format!(
                "nothing to export: none of {} is whole in {}",
                lacking.iter().map(|l| l.0.id).collect::<Vec<_>>().join(", "),
                study.store().folder().display()
            ),
            remedy: "`rethink reproduce` makes everything, the commands above single items".into(),
        });
    }
    let folder = match to {
        Some(folder) => folder,
        None => study.own_folder()?.join(format!("export-{}", venue.name())),
    };
    let about = format!("Data: {}; scale {}.", study.title(), study.scale);
    let paths = manuscript::write(&items, &about, venue, &folder)?;
    let ids: Vec<&str> = items.iter().map(|item| item.recipe.id).collect();
    let files = counted(paths.len(), "file");
    println!("{}: {files} of {} in {}", venue.title(), ids.join(", "), folder.display());
    println!("paper.tex includes them all: pdflatex paper.tex, twice, in that folder");
    Ok(())
}
