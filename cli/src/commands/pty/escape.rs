//! What `~` at the beginning of a line means to this program, as it does to ssh.

/// Typed where `~` is said to begin an escape.
pub(super) const HELP: &str = "\r\n\
    ~.   leave the terminal; it goes on, and `helmr pty attach` comes back to it\r\n\
    ~k   hang the terminal up: everything in it ends\r\n\
    ~r   have its programs draw anew\r\n\
    ~^Z  suspend this program\r\n\
    ~~   type a ~\r\n\
    ~?   show this\r\n\
    (each at the beginning of a line)\r\n";

/// What typing comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Typed(Vec<u8>),
    Leave,
    HangUp,
    Redraw,
    Suspend,
    Help,
}

/// Where in a line the last key was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    LineBegins,
    TildeTyped,
    InLine,
}

impl Escape {
    /// Reads what was typed.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        let mut typed = Vec::new();
        for byte in bytes {
            let key = match (*self, byte) {
                (Self::LineBegins, b'~') => {
                    *self = Self::TildeTyped;
                    continue;
                }
                (Self::TildeTyped, b'.') => Some(Key::Leave),
                (Self::TildeTyped, b'k') => Some(Key::HangUp),
                (Self::TildeTyped, b'r') => Some(Key::Redraw),
                (Self::TildeTyped, 0x1a) => Some(Key::Suspend),
                (Self::TildeTyped, b'?') => Some(Key::Help),
                (Self::TildeTyped, b'~') => {
                    typed.push(b'~');
                    *self = Self::InLine;
                    continue;
                }
                (Self::TildeTyped, _) => {
                    typed.push(b'~');
                    None
                }
                (Self::LineBegins | Self::InLine, _) => None,
            };
            if let Some(key) = key {
                if !typed.is_empty() {
                    keys.push(Key::Typed(std::mem::take(&mut typed)));
                }
                keys.push(key);
                *self = Self::LineBegins;
                continue;
            }
            typed.push(*byte);
            // Also what gives a line up begins a new one.
            *self = if [b'\r', b'\n', 0x03, 0x04].contains(byte) {
                Self::LineBegins
            } else {
                Self::InLine
            };
        }
        if !typed.is_empty() {
            keys.push(Key::Typed(typed));
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&str], expected: &[Key]) {
        let mut escape = Escape::LineBegins;
        let keys: Vec<Key> = pieces
            .iter()
            .flat_map(|piece| escape.read(piece.as_bytes()))
            .collect();
        assert_eq!(keys, expected, "{pieces:?}");
    }

    fn typed(text: &str) -> Key {
        Key::Typed(text.as_bytes().to_vec())
    }

    #[test]
    fn a_tilde_at_the_beginning_of_a_line_escapes() {
        check(&["~."], &[Key::Leave]);
        check(&["ls\r~", "."], &[typed("ls\r"), Key::Leave]);
        check(&["ls\x03~k"], &[typed("ls\x03"), Key::HangUp]);
        check(&["~?~r"], &[Key::Help, Key::Redraw]);
        check(&["~\x1a~."], &[Key::Suspend, Key::Leave]);
    }

    #[test]
    fn a_tilde_elsewhere_is_a_tilde() {
        check(&["cd ~", ".\r"], &[typed("cd ~"), typed(".\r")]);
        check(&["~~.\r"], &[typed("~.\r")]);
        check(&["~", "/x"], &[typed("~/x")]);
        check(&["~\r~."], &[typed("~\r"), Key::Leave]);
    }
}
