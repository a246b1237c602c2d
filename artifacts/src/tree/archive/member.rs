//! A member of an archive that is written, in the POSIX (pax) form.

use std::io::{self, Write};

use tokio_tar::{EntryType, Header};

use super::super::beneath::Xattrs;
use super::super::entry::Stamp;
use super::{BLOCK, EMPTY_XATTRS, XATTR, padding};

/// What an octal field of eight digits holds, one of which ends it.
const SMALL_NUMBER: u64 = 0o7_777_777;
/// The same of twelve digits.
const LARGE_NUMBER: u64 = 0o77_777_777_777;
/// Bytes of a name that stand in a plain header.
const NAME_BYTES: usize = 100;

/// What every member says of itself.
pub(crate) struct About<'a> {
    pub(crate) kind: EntryType,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Stamp,
    pub(crate) xattrs: &'a Xattrs,
}

/// One member in the making: its plain header, and the records of its extension header.
pub(crate) struct Member {
    header: Header,
    records: Vec<u8>,
    /// A name of it is not UTF-8, which the form asks to be said.
    binary: bool,
}

impl Member {
    pub(crate) fn of(about: &About<'_>) -> Self {
        let mut member = Self::plain(about.kind);
        member.header.set_mode(about.mode);
        for (owner, key) in [(about.uid, "uid"), (about.gid, "gid")] {
            if u64::from(owner) > SMALL_NUMBER {
                member.record(key.as_bytes(), owner.to_string().as_bytes());
            }
        }
        let fits = |owner: u32| u64::from(owner).min(SMALL_NUMBER);
        member.header.set_uid(fits(about.uid));
        member.header.set_gid(fits(about.gid));
        match u64::try_from(about.mtime.seconds) {
            Ok(seconds) if seconds <= LARGE_NUMBER && about.mtime.nanoseconds == 0 => {
                member.header.set_mtime(seconds);
            }
            seconds => {
                member
                    .header
                    .set_mtime(seconds.unwrap_or(0).min(LARGE_NUMBER));
                member.record(b"mtime", fraction(about.mtime).as_bytes());
            }
        }
        let mut empty = Vec::new();
        for (name, value) in about.xattrs {
            if value.is_empty() {
                empty.push(name.as_slice());
            } else {
                member.record(&[XATTR, name].concat(), value);
            }
        }
        if !empty.is_empty() {
            member.record(EMPTY_XATTRS, &empty.join(&0));
        }
        member
    }

    fn plain(kind: EntryType) -> Self {
        let mut header = Header::new_ustar();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_entry_type(kind);
        Self {
            header,
            records: Vec::new(),
            binary: false,
        }
    }

    /// Gives it its path.
    pub(crate) fn name(&mut self, path: &[u8]) {
        if path.len() > NAME_BYTES || !path.is_ascii() {
            self.record(b"path", path);
        }
        self.short_name(path);
        self.binary |= is_odd(path);
    }

    /// As much of a name as fits a plain header.
    fn short_name(&mut self, path: &[u8]) {
        fill(&mut self.header.as_old_mut().name, path);
    }

    /// Says what it links to.
    pub(crate) fn link_name(&mut self, target: &[u8]) {
        if target.len() > NAME_BYTES || !target.is_ascii() {
            self.record(b"linkpath", target);
        }
        fill(&mut self.header.as_old_mut().linkname, target);
        self.binary |= is_odd(target);
    }

    /// Makes it a file of `size` bytes with holes, whose map comes before its data. Instead of [`Member::name`].
    pub(crate) fn sparse(&mut self, path: &[u8], size: u64) {
        self.record(b"GNU.sparse.major", b"1");
        self.record(b"GNU.sparse.minor", b"0");
        self.record(b"GNU.sparse.name", path);
        self.record(b"GNU.sparse.realsize", size.to_string().as_bytes());
        self.short_name(&[b"GNUSparseFile.0/", path].concat());
        self.binary |= is_odd(path);
    }

    /// Writes its headers, which say that `size` bytes follow. Gives how many bytes they are.
    pub(crate) fn write(mut self, size: u64, out: &mut impl Write) -> io::Result<u64> {
        if size > LARGE_NUMBER {
            self.record(b"size", size.to_string().as_bytes());
        }
        let mut written = BLOCK as u64;
        if !self.records.is_empty() {
            let mut extension = Self::plain(EntryType::XHeader);
            if self.binary {
                extension.record(b"hdrcharset", b"BINARY");
            }
            let records = [extension.records.as_slice(), &self.records].concat();
            let len = records.len() as u64;
            let name = &self.header.as_old().name;
            let end = name.iter().position(|byte| *byte == 0);
            let name = [b"PaxHeaders/", &name[..end.unwrap_or(name.len())]].concat();
            extension.short_name(&name);
            extension.header.set_mode(0o644);
            extension.header.set_size(len);
            extension.header.set_cksum();
            out.write_all(extension.header.as_bytes())?;
            out.write_all(&records)?;
            out.write_all(&[0; BLOCK][..padding(len)])?;
            written += BLOCK as u64 + len + padding(len) as u64;
        }
        self.header.set_size(size.min(LARGE_NUMBER));
        self.header.set_cksum();
        out.write_all(self.header.as_bytes())?;
        Ok(written)
    }

    /// Appends `LENGTH KEY=VALUE\n`, where the length counts itself.
    fn record(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut digits = 1;
        while (rest + digits).to_string().len() > digits {
            digits += 1;
        }
        let length = (rest + digits).to_string();
        for part in [length.as_bytes(), b" ", key, b"=", value, b"\n"] {
            self.records.extend_from_slice(part);
        }
    }
}

fn fill(field: &mut [u8; NAME_BYTES], name: &[u8]) {
    let count = name.len().min(field.len());
    field.fill(0);
    field[..count].copy_from_slice(&name[..count]);
}

fn is_odd(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_err()
}

/// Seconds since the epoch, with nine digits behind the point.
fn fraction(time: Stamp) -> String {
    let nanos = time.nanos();
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_length_counts_its_own_digits() {
        let mut member = Member::plain(EntryType::Regular);
        member.record(b"path", &[b'a'; 91]);
        assert!(
            member.records.starts_with(b"101 path=a"),
            "{:?}",
            member.records
        );
        assert_eq!(member.records.len(), 101);
        member.records.clear();
        member.record(b"k", b"v");
        assert_eq!(member.records, b"6 k=v\n");
    }

    #[test]
    fn times_before_the_epoch_keep_their_fraction() {
        let time = |seconds, nanoseconds| Stamp {
            seconds,
            nanoseconds,
        };
        assert_eq!(fraction(time(-2, 500_000_000)), "-1.500000000");
        assert_eq!(fraction(time(1, 5)), "1.000000005");
    }
}
