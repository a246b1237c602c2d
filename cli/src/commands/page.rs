//! Options of every list, and what is said under one.

use helmr_api::client::Answer;
use helmr_api::http::page::{Page, PageQuery};

use crate::context::Context;
use crate::error::CommandError;
use crate::style::Style;

/// Which part of a list.
#[derive(Debug, Clone, clap::Args)]
// Flattened into arguments of the same name, which have a group of that name already.
#[group(skip)]
pub struct Arguments {
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) limit: u32,

    /// Go on after this place: the `next_cursor` of an earlier answer
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
}

impl Arguments {
    pub(crate) fn query(&self) -> PageQuery {
        PageQuery {
            limit: Some(self.limit),
            cursor: self.cursor.clone(),
        }
    }
}

/// Prints a page, and for people how to see what follows, or `nothing`.
pub(crate) fn print<T>(
    context: &Context,
    answer: &Answer<Page<T>>,
    show: impl FnOnce(&[T], Style) -> String,
    nothing: &str,
) -> Result<(), CommandError> {
    if answer.body.items.is_empty() && !context.output.is_json() {
        context.output.note(nothing);
        return Ok(());
    }
    context
        .output
        .answer(answer, |page, style| show(&page.items, style))?;
    if let Some(cursor) = &answer.body.next_cursor
        && !context.output.is_json()
    {
        context
            .output
            .note(&format!("There are more: add --cursor {cursor}"));
    }
    Ok(())
}
