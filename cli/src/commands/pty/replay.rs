//! Scrollback that is shown again: without the questions in it, which the terminal would answer once more, as if typed.

/// How much of a sequence is looked at before it is taken for none.
const LONGEST: usize = 4096;

/// Takes questions out of what a PTY printed: device attributes and status, modes, colours, settings (ECMA-48 CSI; DEC
/// and xterm's OSC and DCS).
pub(super) fn without_questions(bytes: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(bytes.len());
    let mut left = bytes;
    while let Some((first, rest)) = left.split_first() {
        let length = if *first == 0x1b { question(left) } else { 0 };
        if length == 0 {
            shown.push(*first);
            left = rest;
        } else {
            left = left.get(length..).unwrap_or_default();
        }
    }
    shown
}

/// How long the question is with which `bytes` begin; 0 if they begin with none.
fn question(bytes: &[u8]) -> usize {
    match bytes.get(1) {
        Some(b'[') => {
            let Some(end) = bytes
                .iter()
                .take(LONGEST)
                .skip(2)
                .position(|byte| (0x40..=0x7e).contains(byte))
            else {
                return 0;
            };
            let (parameters, last) = (&bytes[2..end + 2], bytes[end + 2]);
            let asks = match last {
                b'c' | b'n' => true,
                b'p' => parameters.ends_with(b"$"),
                b'q' => parameters.first() == Some(&b'>'),
                b'u' => parameters == b"?",
                b't' => parameters.starts_with(b"1") || parameters.starts_with(b"2"),
                _ => false,
            };
            if asks { end + 3 } else { 0 }
        }
        Some(b']') => string(bytes).map_or(
            0,
            |(text, length)| {
                if text.ends_with(b";?") { length } else { 0 }
            },
        ),
        // Whatever asks by a device control string; nothing is shown by one.
        Some(b'P') => string(bytes).map_or(0, |(_, length)| length),
        _ => 0,
    }
}

/// The text of a control string, and its length with both ends.
fn string(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let mut at = 2;
    while at < bytes.len().min(LONGEST) {
        match bytes[at..] {
            [0x07, ..] => return Some((&bytes[2..at], at + 1)),
            [0x1b, b'\\', ..] => return Some((&bytes[2..at], at + 2)),
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(printed: &str, shown: &str) {
        let left = without_questions(printed.as_bytes());
        assert_eq!(String::from_utf8_lossy(&left), shown, "{printed:?}");
    }

    #[test]
    fn what_a_terminal_would_answer_is_taken_out() {
        for question in [
            "\x1b[c",
            "\x1b[>c",
            "\x1b[6n",
            "\x1b[?2026$p",
            "\x1b[>0q",
            "\x1b[?u",
            "\x1b[18t",
            "\x1b]11;?\x07",
            "\x1b]10;?\x1b\\",
            "\x1bP$q q\x1b\\",
            "\x1bP+q544e\x1b\\",
        ] {
            check(&format!("a{question}b"), "ab");
        }
    }

    #[test]
    fn everything_else_stays() {
        for text in [
            "\x1b[31mred\x1b[m",
            "\x1b[?1049h\x1b[2J",
            "\x1b]0;title\x07",
            "plain ~ text\r\n",
            "cut \x1b[",
            "cut \x1b]11;?",
            "\x1b",
        ] {
            check(text, text);
        }
    }
}
