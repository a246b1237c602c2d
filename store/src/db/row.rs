//! A row, read column by column in the order of its statement.

use super::{FromValue, Statement, Value};
use crate::{Error, Result};

pub(crate) struct Row {
    statement: &'static Statement,
    values: std::vec::IntoIter<Value>,
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
