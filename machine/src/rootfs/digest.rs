//! Digests of what is read while it is read, and the unpacking of compressed streams.

use std::io::{self, BufReader, Read};

use sha2::{Digest as _, Sha256};

use super::Error;
use super::error::OverLimit;

/// A SHA-256 digest, the one algorithm that images in the wild use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    /// Reads `sha256:…` or, where a format leaves the prefix out, the bare digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if digits.len() != 64
            || !digits
                .bytes()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        {
            return None;
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }

    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub(super) fn digits(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Refuses `found` if it is another digest.
    pub(super) fn check(&self, what: &str, found: &Self) -> Result<(), Error> {
        if self == found {
            return Ok(());
        }
        Err(Error::Digest {
            what: what.to_owned(),
            expected: self.to_string(),
            found: found.to_string(),
        })
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{}", self.digits())
    }
}

/// Passes bytes through and hashes them.
pub(super) struct Hashing<R> {
    inner: R,
    hasher: Sha256,
    length: u64,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            length: 0,
        }
    }

    /// Reads what is left and gives digest, length and the reader.
    pub(super) fn finish(mut self) -> io::Result<(Digest, u64, R)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((
            Digest(self.hasher.finalize().into()),
            self.length,
            self.inner,
        ))
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.hasher.update(&into[..read]);
        self.length += read as u64;
        Ok(read)
    }
}

/// Fails instead of giving more than `limit` bytes.
pub(super) struct Limited<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R> Limited<R> {
    pub(super) fn new(inner: R, limit: u64) -> Self {
        Self {
            inner,
            left: limit,
            limit,
        }
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| OverLimit::bytes(self.limit))?;
        Ok(read)
    }
}

/// A stream that may be compressed, told by its first bytes and not by what anybody says of it.
pub(super) enum Unpacked<R: Read> {
    Plain(BufReader<R>),
    Gzip(flate2::bufread::MultiGzDecoder<BufReader<R>>),
    Zstd(zstd::Decoder<'static, BufReader<R>>),
}

impl<R: Read> Unpacked<R> {
    pub(super) fn new(inner: R) -> io::Result<Self> {
        use std::io::BufRead;
        let mut inner = BufReader::with_capacity(128 << 10, inner);
        let start = inner.fill_buf()?;
        if start.starts_with(&[0x1f, 0x8b]) {
            Ok(Self::Gzip(flate2::bufread::MultiGzDecoder::new(inner)))
        } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let mut decoder = zstd::Decoder::with_buffer(inner)?;
            // 128 MiB of window at most: what `zstd --long` needs, and no bomb.
            decoder.window_log_max(27)?;
            Ok(Self::Zstd(decoder))
        } else {
            Ok(Self::Plain(inner))
        }
    }

    pub(super) fn is_compressed(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    /// The stream below, of which a part may be read ahead.
    pub(super) fn into_inner(self) -> R {
        match self {
            Self::Plain(inner) => inner.into_inner(),
            Self::Gzip(decoder) => decoder.into_inner().into_inner(),
            Self::Zstd(decoder) => decoder.finish().into_inner(),
        }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(inner) => inner.read(into),
            Self::Gzip(decoder) => decoder.read(into),
            Self::Zstd(decoder) => decoder.read(into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_from_their_text_alone() {
        let digits = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let digest = Digest::of(b"");
        assert_eq!(digest.digits(), digits);
        assert!(Digest::parse(&format!("sha256:{digits}")) == Some(digest.clone()));
        assert!(Digest::parse(digits) == Some(digest));
        for text in [
            "",
            "sha256:",
            "sha512:00",
            &digits[1..],
            &digits.to_uppercase(),
            "../../etc/passwd",
        ] {
            assert!(Digest::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_limited_stream_fails_at_its_limit() -> io::Result<()> {
        let mut whole = Vec::new();
        Limited::new(&b"12345"[..], 5).read_to_end(&mut whole)?;
        assert_eq!(whole, b"12345");
        assert!(
            Limited::new(&b"12345"[..], 4)
                .read_to_end(&mut Vec::new())
                .is_err()
        );
        Ok(())
    }
}
