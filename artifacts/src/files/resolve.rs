//! Links on a path, followed as far as they stay in the workspace.

use std::collections::VecDeque;

use super::path::names;
use super::{Error, Path};

/// As many as the kernel follows.
const LINKS: u32 = 40;

/// What stands at a path that holds no link before its last name.
pub(super) enum Seen {
    Absent,
    Link(Vec<u8>),
    Directory,
    Other,
}

/// Whether a link in the last place is meant itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Follow,
    Keep,
}

/// Gives the path to the same place without links. What is behind a name that is absent need not exist. `mount` is where
/// the workspace appears to those who wrote the links.
pub(super) fn resolve(
    path: &Path,
    mount: &[u8],
    last: Last,
    mut look: impl FnMut(&Path) -> Result<Seen, Error>,
) -> Result<Path, Error> {
    let outside = || Error::Outside { path: path.clone() };
    let mut left: VecDeque<Vec<u8>> = names(path.as_bytes()).map(Vec::from).collect();
    let mut done = Path::root();
    let mut links = 0;
    let mut absent = false;
    while let Some(name) = left.pop_front() {
        if name == b".." {
            // Only links bring it here. Above the root is outside.
            done = done.split().ok_or_else(outside)?.0;
            absent = false;
            continue;
        }
        let next = done.join(&name);
        if absent {
            done = next;
            continue;
        }
        match look(&next)? {
            Seen::Absent => {
                absent = true;
                done = next;
            }
            Seen::Link(target) if !left.is_empty() || last == Last::Follow => {
                links += 1;
                if links > LINKS {
                    return Err(outside());
                }
                let mut steps: Vec<&[u8]> = names(&target).collect();
                if target.starts_with(b"/") {
                    let mount: Vec<&[u8]> = names(mount).collect();
                    if !steps.starts_with(&mount) {
                        return Err(outside());
                    }
                    steps.drain(..mount.len());
                    done = Path::root();
                }
                for step in steps.into_iter().rev() {
                    left.push_front(step.to_vec());
                }
            }
            Seen::Other if !left.is_empty() => return Err(Error::NotDirectory { path: next }),
            Seen::Link(_) | Seen::Directory | Seen::Other => done = next,
        }
        if done.as_bytes().len() > crate::tree::entry::PATH_BYTES {
            return Err(outside());
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `links` are in a tree whose other paths are directories, but for `file` and what begins with `new`.
    fn check(path: &str, last: Last, links: &[(&str, &str)], expected: Option<&str>) {
        let parsed = Path::of(path.as_bytes().to_vec());
        let found = resolve(&parsed, b"/workspace", last, |path| {
            let text = path.to_string();
            let link = links.iter().find(|(link, _)| *link == text);
            Ok(match link {
                Some((_, target)) => Seen::Link(target.as_bytes().to_vec()),
                None if text.starts_with("new") => Seen::Absent,
                None if text == "file" => Seen::Other,
                None => Seen::Directory,
            })
        });
        let found = found.ok().map(|path| path.to_string());
        assert_eq!(found.as_deref(), expected, "{path} with {links:?}");
    }

    #[test]
    fn links_are_followed_in_the_workspace_and_not_out_of_it() {
        let follow = Last::Follow;
        check("a/b", follow, &[], Some("a/b"));
        check("l/x", follow, &[("l", "a/b")], Some("a/b/x"));
        check("a/l", follow, &[("a/l", "../c")], Some("c"));
        check("a/l", Last::Keep, &[("a/l", "../c")], Some("a/l"));
        check("l", follow, &[("l", "/workspace/deep/er")], Some("deep/er"));
        check("l", follow, &[("l", "/workspace")], Some("."));
        check("l", follow, &[("l", "/etc/passwd")], None);
        check("l", follow, &[("l", "../etc/passwd")], None);
        check("a/l", follow, &[("a/l", "../../x")], None);
        check("l", follow, &[("l", "m"), ("m", "l")], None);
        check("l", follow, &[("l", "new/x")], Some("new/x"));
        check("new/x/y", follow, &[], Some("new/x/y"));
        check("file/x", follow, &[], None);
    }
}
