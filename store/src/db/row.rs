//! A row, read column by column in the order of its statement.

use super::{FromValue, Statement, Value};
use crate::{Error, Result};

pub(crate) struct Row {
    statement: &'static Statement,
    values: std::vec::IntoIter<Value>,
}

/// Rows up to a weight.
pub(crate) struct Rows {
    pub(crate) rows: Vec<Row>,
    /// More were found than the weight allowed.
    pub(crate) cut: bool,
    /// Of the weight that was allowed.
    pub(crate) left_bytes: usize,
}

/// Weighs rows while they are read.
pub(super) struct Scale {
    left: usize,
    empty: bool,
}

impl Scale {
    pub(super) const fn new(most_bytes: usize) -> Self {
        Self {
            left: most_bytes,
            empty: true,
        }
    }

    pub(super) const fn left(&self) -> usize {
        self.left
    }

    /// Whether a row fits. The first one always does.
    pub(super) fn takes(&mut self, row: &Row) -> bool {
        let weight: usize = row.values.as_slice().iter().map(Value::weight).sum();
        let fits = self.empty || weight <= self.left;
        self.empty = false;
        self.left = self.left.saturating_sub(weight);
        fits
    }
}

impl Row {
    pub(crate) fn new(statement: &'static Statement, values: Vec<Value>) -> Self {
        Self {
            statement,
            values: values.into_iter(),
        }
    }

    /// Takes the next column.
    ///
    /// # Errors
    /// `Corrupt` if there is none, or it is of another kind.
    pub(crate) fn take<T: FromValue>(&mut self, column: &'static str) -> Result<T> {
        self.values
            .next()
            .and_then(T::from_value)
            .ok_or(Error::Corrupt {
                object: self.statement.name,
                column,
            })
    }

    /// Takes the next column through `read`, for what has a text form of its own.
    pub(crate) fn parse<T>(
        &mut self,
        column: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T> {
        let text: String = self.take(column)?;
        read(&text).ok_or_else(|| self.corrupt(column))
    }

    pub(crate) fn corrupt(&self, column: &'static str) -> Error {
        Error::Corrupt {
            object: self.statement.name,
            column,
        }
    }
}
