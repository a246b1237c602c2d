//! Cuts a stream into chunks where its content says so, through one fixed buffer: an insertion moves the cuts around
//! it and no others.

use std::io::{self, Read};

use fastcdc::v2020::{Normalization, cut, select_masks};

const MIN: usize = 64 << 10;
const AVERAGE: usize = 256 << 10;
const MAX: usize = 1 << 20;
/// More than one chunk, so that not every cut moves the rest of the buffer.
const BUFFER: usize = 4 * MAX;

/// How cuts were made, kept in manifests: the rules of fastcdc changed between its versions.
pub(crate) const RULES: &str = "fastcdc-v2020/5 65536-262144-1048576";

/// Reusable: after [`Cutter::finish`] the next stream begins.
pub(crate) struct Cutter {
    buffer: Vec<u8>,
    end: usize,
    masks: (u64, u64),
}

impl Cutter {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER],
            end: 0,
            masks: select_masks(AVERAGE, Normalization::Level1),
        }
    }

    /// Reads `source` to its end and gives each piece in turn to `take`.
    pub(crate) fn cut<E: From<io::Error>>(
        &mut self,
        mut source: impl Read,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.end = 0;
        loop {
            match source.read(&mut self.buffer[self.end..]) {
                Ok(0) => return self.finish(take),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            self.take_full(&mut take)?;
        }
    }

    /// Appends `bytes` to the stream; pieces that are certain go to `take`.
    pub(crate) fn feed<E>(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let count = bytes.len().min(BUFFER - self.end);
            self.buffer[self.end..self.end + count].copy_from_slice(&bytes[..count]);
            self.end += count;
            bytes = &bytes[count..];
            self.take_full(&mut take)?;
        }
        Ok(())
    }

    /// Ends the stream: the rest goes to `take`.
    pub(crate) fn finish<E>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut start = 0;
        while start < self.end {
            let length = self.next_length(start);
            take(&self.buffer[start..start + length])?;
            start += length;
        }
        self.end = 0;
        Ok(())
    }

    /// Cuts once the buffer is full, as far as what may still come cannot move the cuts.
    fn take_full<E>(&mut self, take: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.end < BUFFER {
            return Ok(());
        }
        let mut start = 0;
        while self.end - start >= MAX {
            let length = self.next_length(start);
            take(&self.buffer[start..start + length])?;
            start += length;
        }
        self.buffer.copy_within(start..self.end, 0);
        self.end -= start;
        Ok(())
    }

    fn next_length(&self, start: usize) -> usize {
        let rest = &self.buffer[start..self.end];
        let (small, large) = self.masks;
        let (_, length) = cut(
            rest,
            MIN,
            AVERAGE,
            MAX,
            small,
            large,
            small << 1,
            large << 1,
        );
        // Never zero for a text that is not empty; a loop that cannot end would be worse than one long piece.
        if length == 0 {
            rest.len().min(MAX)
        } else {
            length
        }
    }
}

/// Whether `bytes` are all zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes
        .chunks(ZEROS.len())
        .all(|part| part == &ZEROS[..part.len()])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    /// Deterministic bytes that look random.
    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        blake3::Hasher::new_keyed(&key)
            .finalize_xof()
            .fill(&mut bytes);
        bytes
    }

    fn pieces(cutter: &mut Cutter, source: impl Read) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        cutter
            .cut(source, |piece| {
                pieces.push(piece.to_vec());
                Ok::<_, io::Error>(())
            })
            .unwrap();
        pieces
    }

    /// Gives a few bytes at a time, as a socket does.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(into.len()).min(7919);
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn cuts_depend_on_the_content_and_not_on_how_it_arrives() {
        let text = noise(9 << 20, 1);
        let mut cutter = Cutter::new();
        let whole = pieces(&mut cutter, text.as_slice());
        assert_eq!(whole.concat(), text);
        assert_eq!(pieces(&mut cutter, Dribble(&text)), whole);
        let mut fed = Vec::new();
        let mut take = |piece: &[u8]| {
            fed.push(piece.to_vec());
            Ok::<_, io::Error>(())
        };
        for part in text.chunks(123_457) {
            cutter.feed(part, &mut take).unwrap();
        }
        cutter.finish(&mut take).unwrap();
        assert_eq!(fed, whole);
    }

    #[test]
    fn an_insertion_moves_few_cuts() {
        let text = noise(8 << 20, 2);
        let mut edited = text.clone();
        edited.splice(3_000_000..3_000_000, *b"inserted");
        let mut cutter = Cutter::new();
        let before = pieces(&mut cutter, text.as_slice());
        let after = pieces(&mut cutter, edited.as_slice());
        let new = after.iter().filter(|piece| !before.contains(piece)).count();
        assert!(
            (1..=2).contains(&new),
            "{new} of {} pieces are new",
            after.len()
        );
    }

    #[test]
    fn an_empty_stream_has_no_pieces() {
        assert!(pieces(&mut Cutter::new(), io::empty()).is_empty());
    }

    #[test]
    fn zeros_are_told_from_almost_zeros() {
        assert!(is_zero(&[0; 10_000]));
        let mut almost = vec![0; 10_000];
        almost[9_999] = 1;
        assert!(!is_zero(&almost));
    }
}
