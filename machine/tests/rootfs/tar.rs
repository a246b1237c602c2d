//! Writes tar archives, honest and otherwise.

use tokio_tar::{EntryType, Header};

#[derive(Clone)]
pub(crate) struct Tar {
    bytes: Vec<u8>,
}

/// A member in the making; added by [`Tar::add`].
#[derive(Clone)]
pub(crate) struct Entry {
    name: Vec<u8>,
    kind: EntryType,
    mode: u32,
    owner: (u64, u64),
    link: Vec<u8>,
    content: Vec<u8>,
    pax: Vec<(String, Vec<u8>)>,
}

impl Entry {
    fn new(name: impl AsRef<[u8]>, kind: EntryType, mode: u32) -> Self {
        // Who runs the tests may not be root: files are then their own.
        let uid = rustix::process::geteuid().as_raw().into();
        let gid = rustix::process::getegid().as_raw().into();
        Self {
            name: name.as_ref().to_vec(),
            kind,
            mode,
            owner: (uid, gid),
            link: Vec::new(),
            content: Vec::new(),
            pax: Vec::new(),
        }
    }

    pub(crate) fn file(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        let mut entry = Self::new(name, EntryType::Regular, 0o644);
        entry.content = content.as_ref().to_vec();
        entry
    }

    pub(crate) fn dir(name: impl AsRef<[u8]>) -> Self {
        Self::new(name, EntryType::Directory, 0o755)
    }

    pub(crate) fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        let mut entry = Self::new(name, EntryType::Symlink, 0o777);
        entry.link = target.as_ref().to_vec();
        entry
    }

    pub(crate) fn link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        let mut entry = Self::symlink(name, target);
        entry.kind = EntryType::Link;
        entry
    }

    pub(crate) fn fifo(name: &str) -> Self {
        Self::new(name, EntryType::Fifo, 0o600)
    }

    pub(crate) fn device(name: &str) -> Self {
        Self::new(name, EntryType::Char, 0o666)
    }

    pub(crate) fn of_kind(mut self, byte: u8) -> Self {
        self.kind = EntryType::new(byte);
        self
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.owner = (uid, gid);
        self
    }

    pub(crate) fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax.push((key.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    pub(crate) fn of(entries: &[Entry]) -> Vec<u8> {
        let mut tar = Self::new();
        for entry in entries {
            tar = tar.add(entry.clone());
        }
        tar.end()
    }

    pub(crate) fn add(mut self, mut entry: Entry) -> Self {
        if entry.name.len() > 100 {
            entry.pax.push(("path".to_owned(), entry.name.clone()));
            entry.name.truncate(100);
        }
        if entry.link.len() > 100 {
            entry.pax.push(("linkpath".to_owned(), entry.link.clone()));
            entry.link.truncate(100);
        }
        if !entry.pax.is_empty() {
            let records: Vec<u8> = entry
                .pax
                .iter()
                .flat_map(|(key, value)| record(key, value))
                .collect();
            self.member(b"pax", EntryType::XHeader, &entry, &[], &records);
        }
        let (name, link, content) = (
            entry.name.clone(),
            entry.link.clone(),
            entry.content.clone(),
        );
        self.member(&name, entry.kind, &entry, &link, &content);
        self
    }

    fn member(&mut self, name: &[u8], kind: EntryType, entry: &Entry, link: &[u8], content: &[u8]) {
        let mut header = Header::new_ustar();
        // Written by hand: the library refuses the names that are wanted here.
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_mode(entry.mode);
        header.set_uid(entry.owner.0);
        header.set_gid(entry.owner.1);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        header.set_entry_type(kind);
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }
}

/// A PAX record, whose length counts its own digits.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}
