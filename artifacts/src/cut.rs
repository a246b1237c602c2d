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

/// Reusable over many streams.
pub(crate) struct Cutter {
    buffer: Vec<u8>,
    masks: (u64, u64),
}

impl Cutter {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER],
            masks: select_masks(AVERAGE, Normalization::Level1),
        }
    }

    /// Reads `source` to its end and gives each piece in turn to `take`.
    pub(crate) fn cut<E: From<io::Error>>(
        &mut self,
        mut source: impl Read,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut start, mut end, mut at_end) = (0, 0, false);
        loop {
            if !at_end && end - start < MAX {
                self.buffer.copy_within(start..end, 0);
                (start, end) = (0, end - start);
                while end < BUFFER && !at_end {
                    match source.read(&mut self.buffer[end..]) {
                        Ok(0) => at_end = true,
                        Ok(read) => end += read,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            if start == end {
                return Ok(());
            }
            let length = self.next_length(&self.buffer[start..end]);
            take(&self.buffer[start..start + length])?;
            start += length;
        }
    }

    fn next_length(&self, rest: &[u8]) -> usize {
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
