//! A bounded piece of a list.

use helmr_domain::Scope;

use crate::Result;
use crate::db::{Row, Statement, ToValue as _, Tx, Value};
use crate::runs::after_all;

/// `next` is where the following page begins; `None` at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, Cursor> {
    pub items: Vec<T>,
    pub next: Option<Cursor>,
}

impl<T, Cursor> Page<T, Cursor> {
    /// Takes up to one more item than `limit`, and keeps that one back.
    pub(crate) fn cut(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> Cursor) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }

    /// As [`cut`](Self::cut), of items that may have been `left_out` behind the last one for their weight.
    pub(crate) fn cut_within(
        items: Vec<T>,
        limit: u32,
        left_out: bool,
        cursor: impl Fn(&T) -> Cursor,
    ) -> Self {
        let last = items.last().map(&cursor);
        let mut page = Self::cut(items, limit, cursor);
        if left_out && page.next.is_none() {
            page.next = last;
        }
        page
    }
}

/// Which piece of a list that runs from the newest item to the oldest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newest<Id> {
    pub(crate) scope: Scope,
    /// Items made before it; `None`: from the newest on.
    pub(crate) before: Option<Id>,
    pub(crate) limit: u32,
}

impl<Id: std::fmt::Display> Newest<Id> {
    /// The rows of a statement of the scope (`$1` to `$3`), the place (`$4`), the limit (`$5`) and `filters`: one more
    /// than the limit, for [`Page::cut`].
    pub(crate) async fn rows(
        &self,
        tx: &mut Tx,
        statement: &'static Statement,
        filters: &[Value],
    ) -> Result<Vec<Row>> {
        let before = self.before.as_ref();
        let mut bound = vec![
            self.scope.organization.to_value(),
            self.scope.project.to_value(),
            self.scope.environment.to_value(),
            before.map_or_else(after_all, Id::to_string).to_value(),
            (u64::from(self.limit) + 1).to_value(),
        ];
        bound.extend_from_slice(filters);
        tx.rows(statement, &bound).await
    }
}
