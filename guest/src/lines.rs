//! Lines of a runtime's channel: whole ones up to a limit, the beginning of longer ones.

use bytes::{Buf as _, BytesMut};

/// The longest line passed on whole.
pub(crate) const LIMIT_BYTES: usize = 8 << 20;
/// How much of a longer line is passed on.
const BEGINNING_BYTES: usize = 4 << 10;

/// A line without its newline.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) bytes: Vec<u8>,
    /// The whole length, if `bytes` is only the beginning.
    pub(crate) cut_from_bytes: Option<u64>,
}

/// Splits a stream into lines. Holds at most one line's limit and what was read with it.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    input: BytesMut,
    /// How much of `input` is known to hold no newline.
    scanned: usize,
    /// A line that proved too long: its beginning, and its length so far.
    overlong: Option<(Vec<u8>, u64)>,
}

impl Splitter {
    /// Where to read more bytes into.
    pub(crate) fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// The next whole line.
    pub(crate) fn next(&mut self) -> Option<Line> {
        let unscanned = self.input.get(self.scanned..).unwrap_or_default();
        let Some(found) = unscanned.iter().position(|byte| *byte == b'\n') else {
            self.scanned = self.input.len();
            if self.overlong.is_some() || self.scanned > LIMIT_BYTES {
                self.skip();
            }
            return None;
        };
        let line = self.input.split_to(self.scanned + found);
        self.input.advance(1);
        self.scanned = 0;
        Some(self.finish(&line))
    }

    /// What was begun and never ended, once no more can come.
    pub(crate) fn rest(&mut self) -> Option<Line> {
        let line = self.input.split();
        self.scanned = 0;
        (self.overlong.is_some() || !line.is_empty()).then(|| self.finish(&line))
    }

    fn finish(&mut self, end: &[u8]) -> Line {
        let length = as_u64(end.len());
        match self.overlong.take() {
            Some((bytes, before)) => Line {
                bytes,
                cut_from_bytes: Some(before + length),
            },
            None if end.len() > LIMIT_BYTES => Line {
                bytes: beginning(end).to_vec(),
                cut_from_bytes: Some(length),
            },
            None => Line {
                bytes: end.to_vec(),
                cut_from_bytes: None,
            },
        }
    }

    /// Lets go of a line that is too long, all but its beginning.
    fn skip(&mut self) {
        let bytes = std::mem::take(&mut self.input);
        self.scanned = 0;
        let (_, length) = self
            .overlong
            .get_or_insert_with(|| (beginning(&bytes).to_vec(), 0));
        *length += as_u64(bytes.len());
    }
}

fn beginning(bytes: &[u8]) -> &[u8] {
    bytes.get(..BEGINNING_BYTES).unwrap_or(bytes)
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]], expected: &[(&[u8], Option<u64>)]) {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        for piece in pieces {
            splitter.input().extend_from_slice(piece);
            while let Some(line) = splitter.next() {
                lines.push(line);
            }
            assert!(
                splitter.input.len() <= LIMIT_BYTES,
                "what is held is bounded"
            );
        }
        lines.extend(splitter.rest());
        let lines: Vec<(&[u8], Option<u64>)> = lines
            .iter()
            .map(|line| (line.bytes.as_slice(), line.cut_from_bytes))
            .collect();
        assert!(
            lines == expected,
            "{:?}",
            lines
                .iter()
                .map(|(b, cut)| (b.len(), cut))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn lines_come_out_whole_however_they_are_read() {
        check(&[b"one\ntwo\n"], &[(b"one", None), (b"two", None)]);
        check(
            &[b"o", b"ne", b"\n\ntw", b"o\n"],
            &[(b"one", None), (b"", None), (b"two", None)],
        );
    }

    #[test]
    fn a_line_without_an_end_comes_last() {
        check(&[b"one\ntw"], &[(b"one", None), (b"tw", None)]);
        check(&[b"one\n"], &[(b"one", None)]);
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_whole() {
        let line = vec![b'x'; LIMIT_BYTES];
        check(&[&line, b"\nnext\n"], &[(&line, None), (b"next", None)]);
    }

    #[test]
    fn of_a_longer_line_its_beginning_and_its_length_are_told() {
        let half = vec![b'x'; LIMIT_BYTES / 2 + 1];
        let beginning = vec![b'x'; BEGINNING_BYTES];
        let whole = as_u64(half.len() * 3 + 2);
        check(
            &[&half, &half, &half, b"yz\nnext\n"],
            &[(&beginning, Some(whole)), (b"next", None)],
        );
        check(&[&half, &half, &half], &[(&beginning, Some(whole - 2))]);
    }

    #[test]
    fn a_longer_line_read_in_one_piece_is_cut_too() {
        let mut long = vec![b'x'; LIMIT_BYTES + 1];
        long.push(b'\n');
        let beginning = vec![b'x'; BEGINNING_BYTES];
        let mut splitter = Splitter::default();
        splitter.input().extend_from_slice(&long);
        let line = splitter.next();
        let whole = as_u64(LIMIT_BYTES + 1);
        assert!(
            line == Some(Line {
                bytes: beginning,
                cut_from_bytes: Some(whole)
            })
        );
    }
}
