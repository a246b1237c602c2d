//! What is typed on this command's terminal.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::escape::{Escape, Key};
use crate::commands::exec::piped::{self, Piped};

pub(super) struct Keyboard {
    input: mpsc::Receiver<Piped>,
    escape: Escape,
    keys: VecDeque<Key>,
}

impl Keyboard {
    pub(super) fn new() -> Self {
        Self {
            input: piped::read(),
            escape: Escape::LineBegins,
            keys: VecDeque::new(),
        }
    }

    /// The next key. Without anybody at the keyboard one leaves. Cancel-safe.
    pub(super) async fn next(&mut self) -> Key {
        loop {
            if let Some(key) = self.keys.pop_front() {
                return key;
            }
            match self.input.recv().await {
                Some(Piped::Bytes(bytes)) => self.keys.extend(self.escape.read(&bytes)),
                Some(Piped::End) | None => return Key::Leave,
            }
        }
    }
}
