//! What a long piece of work passes at each step: it ends there once nobody waits for it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;

/// Carried by the handle that the work is given.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    abandoned: Option<Arc<AtomicBool>>,
    at_entries: Option<fn()>,
}

impl Watch {
    /// A watch, and what abandons its work when it is dropped.
    pub(crate) fn new() -> (Self, AbandonOnDrop) {
        let abandoned = Arc::new(AtomicBool::new(false));
        let watch = Self {
            abandoned: Some(Arc::clone(&abandoned)),
            at_entries: None,
        };
        (watch, AbandonOnDrop(abandoned))
    }

    pub(crate) fn at_entries(&self, told: fn()) -> Self {
        Self {
            abandoned: self.abandoned.clone(),
            at_entries: Some(told),
        }
    }

    /// Passed at each entry of a tree.
    pub(crate) fn entry(&self) -> Result<(), Error> {
        if let Some(told) = self.at_entries {
            told();
        }
        self.step()
    }

    /// Passed at each step, however small.
    pub(crate) fn step(&self) -> Result<(), Error> {
        let abandoned = self
            .abandoned
            .as_ref()
            .is_some_and(|flag| flag.load(Ordering::Relaxed));
        if abandoned {
            Err(Error::Abandoned)
        } else {
            Ok(())
        }
    }
}

pub(crate) struct AbandonOnDrop(Arc<AtomicBool>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
