//! A bounded piece of a list.

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
}
