//! Names in archives: what is allowed, and what a whiteout hides.

use super::Error;

const PATH_BYTES: usize = 4095;
const NAME_BYTES: usize = 255;
/// Names between the root and a file. Deeper trees cannot be removed or packed with ordinary means.
const DEPTH: usize = 256;

/// A path inside the root, checked: names without `/`, `.` or `..`. Empty for the root itself.
pub(super) struct Path<'a>(Vec<&'a [u8]>);

impl<'a> Path<'a> {
    /// Takes a name as archives write it: a leading `./`, a trailing slash and doubled ones mean nothing.
    pub(super) fn new(text: &'a [u8]) -> Result<Self, Error> {
        if text.starts_with(b"/") {
            return Err(Error::refused(text, "its name is absolute"));
        }
        if text.is_empty() || text.len() > PATH_BYTES {
            return Err(Error::refused(
                &text[..text.len().min(200)],
                "its name has no usable length",
            ));
        }
        let mut names = Vec::new();
        for name in text.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => return Err(Error::refused(text, "its name leads out of the image")),
                _ if name.contains(&0) || name.len() > NAME_BYTES => {
                    return Err(Error::refused(text, "it has a name that no file can have"));
                }
                _ => names.push(name),
            }
        }
        if names.len() > DEPTH {
            return Err(Error::refused(text, "it is nested too deeply"));
        }
        Ok(Self(names))
    }

    /// Directory and name; `None` for the root.
    pub(super) fn split(&self) -> Option<(&[&'a [u8]], &'a [u8])> {
        let (name, dir) = self.0.split_last()?;
        Some((dir, name))
    }
}

/// What a member of a layer means beside being a file (image-spec 1.1, whiteouts).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whiteout<'a> {
    /// Hides this name of lower layers.
    Of(&'a [u8]),
    /// Hides everything that lower layers hold in the directory.
    Opaque,
    /// Book-keeping of the union file system that once made the layer.
    Meaningless,
}

/// Reads a whiteout from a file name; `None` if it is an ordinary one.
pub(super) fn whiteout<'a>(name: &'a [u8], path: &[u8]) -> Result<Option<Whiteout<'a>>, Error> {
    let Some(of) = name.strip_prefix(b".wh.") else {
        return Ok(None);
    };
    match of {
        b".wh..opq" => Ok(Some(Whiteout::Opaque)),
        _ if of.starts_with(b".wh.") => Ok(Some(Whiteout::Meaningless)),
        b"" | b"." | b".." => Err(Error::refused(path, "it hides nothing that can be named")),
        _ => Ok(Some(Whiteout::Of(of))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["/etc/passwd", "..", "../x", "a/../../x", "a/..", "", "a\0b"] {
            assert!(Path::new(name.as_bytes()).is_err(), "{name}");
        }
        assert!(Path::new(&[b'a'; 256]).is_err());
        assert!(Path::new(&b"a/".repeat(257)).is_err());
    }

    #[test]
    fn names_are_read_as_archives_write_them() {
        let check = |text: &str, expected: &[&str]| {
            let expected: Vec<_> = expected.iter().map(|name| name.as_bytes()).collect();
            assert_eq!(
                Path::new(text.as_bytes()).ok().map(|path| path.0),
                Some(expected),
                "{text}"
            );
        };
        check("./", &[]);
        check(".", &[]);
        check("./a//b/./c/", &["a", "b", "c"]);
        check("..a/b..", &["..a", "b.."]);
    }

    #[test]
    fn whiteouts_are_told_from_files() {
        let check = |name: &str, expected| {
            assert_eq!(
                whiteout(name.as_bytes(), b"").ok(),
                Some(expected),
                "{name}"
            )
        };
        check("file", None);
        check(".wh", None);
        check("x.wh.y", None);
        check(".wh.file", Some(Whiteout::Of(b"file")));
        check(".wh..hidden", Some(Whiteout::Of(b".hidden")));
        check(".wh..wh..opq", Some(Whiteout::Opaque));
        check(".wh..wh.plnk", Some(Whiteout::Meaningless));
        for name in [".wh.", ".wh..", ".wh..."] {
            assert!(whiteout(name.as_bytes(), b"").is_err(), "{name}");
        }
    }
}
