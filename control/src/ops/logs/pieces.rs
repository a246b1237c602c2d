//! Where output may be cut: between characters, and within what a run may keep.

/// Longest encoding of a character, RFC 3629.
const LONGEST: usize = 4;

/// What becomes of bytes that wait to be kept. What is beyond both parts is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// Kept now.
    pub(super) kept: usize,
    /// Behind that: held back until the rest of its character comes.
    pub(super) tail: usize,
}

/// Cuts `bytes`, of which `left` may be kept.
pub(super) fn cut(bytes: &[u8], left: usize) -> Cut {
    if bytes.len() > left {
        let kept = left - begun(&bytes[..left]);
        return Cut { kept, tail: 0 };
    }
    let tail = begun(bytes);
    Cut {
        kept: bytes.len() - tail,
        tail,
    }
}

/// How many of the last bytes are the beginning of a character, and not yet all of it.
fn begun(bytes: &[u8]) -> usize {
    (1..LONGEST.min(bytes.len() + 1))
        .find(|count| {
            let end = &bytes[bytes.len() - count..];
            std::str::from_utf8(end).is_err_and(|error| {
                // Invalid from its first byte on, for want of more: `error_len` is `None` then.
                error.valid_up_to() == 0 && error.error_len().is_none()
            })
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ASCII, two, three and four bytes.
    const TEXT: &str = "a\u{e9}\u{20ac}\u{1f600}z";

    #[test]
    fn text_that_comes_in_two_is_text_wherever_it_is_split() {
        let bytes = TEXT.as_bytes();
        for at in 0..=bytes.len() {
            let (first, second) = bytes.split_at(at);
            let Cut { kept, tail } = cut(first, usize::MAX);
            assert_eq!(kept + tail, first.len());
            assert!(tail < LONGEST && std::str::from_utf8(&first[..kept]).is_ok());
            let rest = [&first[kept..], second].concat();
            let whole = Cut {
                kept: rest.len(),
                tail: 0,
            };
            assert_eq!(cut(&rest, usize::MAX), whole);
            assert!(std::str::from_utf8(&rest).is_ok(), "split at {at}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_as_they_are() {
        for bytes in [
            &b"\xff\xfe\x00"[..],
            // Continuations of nothing, and more of them than a character has.
            b"\x80\x80\x80\x80",
            b"\xe2\x82\x28",
            // Never the beginning of a character.
            b"ab\xc0",
            b"ab\xf8\x88",
        ] {
            let whole = Cut {
                kept: bytes.len(),
                tail: 0,
            };
            assert_eq!(cut(bytes, usize::MAX), whole, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_over_the_budget_is_cut_between_characters() {
        let bytes = TEXT.as_bytes();
        for (left, kept) in [
            (0, 0),
            (1, 1),
            (2, 1),
            (3, 3),
            (5, 3),
            (6, 6),
            (9, 6),
            (10, 10),
        ] {
            assert_eq!(cut(bytes, left), Cut { kept, tail: 0 }, "{left} left");
        }
        let all = Cut {
            kept: bytes.len(),
            tail: 0,
        };
        assert_eq!(cut(bytes, bytes.len()), all);
    }
}
