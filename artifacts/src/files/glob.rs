//! Patterns of paths: `*`, `?`, `[…]` and `{a,b}` within names, `**` for any directories.

use std::fmt::Write as _;
use std::time::Instant;

use regex::bytes::{Regex, RegexBuilder};

use super::resolve::Last;
use super::tree::{Flow, find};
use super::{Error, Info, Page, Path, Tree};

/// Longest pattern.
const PATTERN_BYTES: usize = 4096;
/// What a compiled pattern may take.
pub(super) const COMPILED_BYTES: usize = 1 << 20;
/// One character that is no slash.
const ANY: &str = r"(?:[\x00-\x2e\x30-\x7f]|[\xc0-\xff][\x80-\xbf]*|[\x80-\xbf])";

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Glob {
    regex: Regex,
    /// Directories that every match lies in.
    prefix: Path,
}

impl Glob {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// `Pattern`.
    pub fn new(pattern: &[u8]) -> Result<Self, Error> {
        if pattern.len() > PATTERN_BYTES {
            return Err(Error::Pattern {
                reason: format!("is longer than {PATTERN_BYTES} bytes"),
            });
        }
        let regex = RegexBuilder::new(&translated(pattern)?)
            .unicode(false)
            .dot_matches_new_line(true)
            .size_limit(COMPILED_BYTES)
            .build()
            .map_err(|_| Error::Pattern {
                reason: "is too complicated".to_owned(),
            })?;
        Ok(Self {
            regex,
            prefix: prefix(pattern),
        })
    }

    /// Whether a path from where the pattern begins matches.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        self.regex.is_match(path)
    }
}

/// Finds what matches in the directory `dir`, behind `after`, in the order of paths. Ends early at `until`: then the page is
/// not full and yet says where to go on.
///
/// # Errors
/// `NotFound`, `NotDirectory`, `Outside` of the directory.
pub fn glob(
    tree: &(impl Tree + ?Sized),
    dir: &Path,
    glob: &Glob,
    after: Option<&Path>,
    (limit, until): (usize, Instant),
) -> Result<Page<Info>, Error> {
    let (base, _) = find(tree, dir, Last::Follow)?;
    let mut page: Page<Info> = Page {
        items: Vec::new(),
        next: None,
    };
    let start = glob
        .prefix
        .as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .fold(base.clone(), |path, name| path.join(name));
    let visit = &mut |found: &mut dyn super::Found| {
        let info = found.info();
        if glob.matches(info.path.relative_to(&base)) {
            if page.items.len() >= limit {
                page.next = page.items.last().map(|info| info.path.clone());
                return Ok(Flow::Stop);
            }
            page.items.push(info.clone());
        }
        if Instant::now() >= until {
            page.next = Some(info.path.clone());
            return Ok(Flow::Stop);
        }
        Ok(Flow::On)
    };
    match tree.walk(&start, after, visit) {
        // Nothing is where the pattern would begin.
        Err(Error::NotFound { .. } | Error::NotDirectory { .. } | Error::Unstable { .. })
            if start != base => {}
        walked => walked?,
    }
    Ok(page)
}

/// The names at the pattern's beginning that stand for themselves, without the last.
fn prefix(pattern: &[u8]) -> Path {
    let names: Vec<&[u8]> = super::path::names(pattern).collect();
    let literal = names
        .iter()
        .take_while(|name| !name.iter().any(|byte| b"*?[]{}\\".contains(byte)))
        .take(names.len().saturating_sub(1));
    literal.fold(Path::root(), |path, name| path.join(name))
}

fn translated(pattern: &[u8]) -> Result<String, Error> {
    let refused = |reason: &str| Error::Pattern {
        reason: reason.to_owned(),
    };
    let mut text = String::from("^");
    let mut rest = pattern;
    while let Some(after) = rest.strip_prefix(b"./") {
        rest = after;
    }
    let mut begins_name = true;
    let mut depth = 0_usize;
    while let Some((&first, after)) = rest.split_first() {
        let began = std::mem::replace(&mut begins_name, first == b'/');
        match first {
            b'*' if began && rest == b"**" => {
                text.push_str(".+");
                return close(text, depth);
            }
            b'*' if began && rest.starts_with(b"**/") => {
                text.push_str("(?:[^/]+/)*");
                rest = &rest[3..];
                begins_name = true;
                continue;
            }
            b'*' => text.push_str("[^/]*"),
            b'?' => text.push_str(ANY),
            b'{' => {
                depth += 1;
                begins_name = began;
                text.push_str("(?:");
            }
            b',' if depth > 0 => text.push('|'),
            b'}' if depth > 0 => {
                depth -= 1;
                text.push(')');
            }
            b'[' => {
                let (class, behind) =
                    class(after).ok_or_else(|| refused("has a `[` without `]`"))?;
                text.push_str(&class);
                rest = behind;
                continue;
            }
            b'\\' => {
                let (&escaped, behind) = after
                    .split_first()
                    .ok_or_else(|| refused("ends with a `\\`"))?;
                literal(&mut text, escaped);
                rest = behind;
                continue;
            }
            byte => literal(&mut text, byte),
        }
        rest = after;
    }
    close(text, depth)
}

fn close(mut text: String, depth: usize) -> Result<String, Error> {
    if depth > 0 {
        return Err(Error::Pattern {
            reason: "has a `{` without `}`".to_owned(),
        });
    }
    text.push('$');
    Ok(text)
}

fn literal(text: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || byte == b'/' || byte == b'_' {
        text.push(char::from(byte));
    } else {
        // A string takes all that is written to it.
        write!(text, "\\x{byte:02x}").ok();
    }
}

/// What is in brackets, and what is behind them.
fn class(inside: &[u8]) -> Option<(String, &[u8])> {
    let (negated, inside) = match inside {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    // A bracket in the first place stands for itself.
    let end = inside.iter().skip(1).position(|byte| *byte == b']')? + 1;
    let (members, behind) = (&inside[..end], &inside[end + 1..]);
    let mut text = String::from(if negated { "[^/" } else { "[" });
    let mut at = 0;
    while at < members.len() {
        literal(&mut text, members[at]);
        if let [_, b'-', last, ..] = &members[at..] {
            text.push('-');
            literal(&mut text, *last);
            at += 3;
        } else {
            at += 1;
        }
    }
    text.push(']');
    Some((text, behind))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn check(pattern: &str, good: &[&str], bad: &[&str]) {
        let glob = Glob::new(pattern.as_bytes()).unwrap();
        for path in good {
            assert!(glob.matches(path.as_bytes()), "{pattern} is {path}");
        }
        for path in bad {
            assert!(!glob.matches(path.as_bytes()), "{pattern} is not {path}");
        }
    }

    #[test]
    fn stars_stay_in_a_name_and_two_of_them_do_not() {
        check("*.ts", &["a.ts", ".ts"], &["a/b.ts", "a.tsx"]);
        check("**/*.ts", &["a.ts", "a/b.ts", "a/b/c.ts"], &["a/b.tsx"]);
        check("src/**", &["src/a", "src/a/b"], &["src", "srca/b"]);
        check("a/**/z", &["a/z", "a/b/z", "a/b/c/z"], &["az", "b/a/z"]);
        check("./a*b", &["ab", "axxb"], &["a/b"]);
        check("?", &["a", "é", "日"], &["", "ab", "/"]);
        check("*.{js,ts}", &["a.js", "a.ts"], &["a.{js,ts}", "a.jsx"]);
        check("{a,b}/c", &["a/c", "b/c"], &["c"]);
        check("[a-c]x", &["ax", "cx"], &["dx", "-x"]);
        check("[!a]x", &["bx"], &["ax", "/x"]);
        check("[]]", &["]"], &["x"]);
        check(r"\*.(x)+$", &["*.(x)+$"], &["a.(x)+$"]);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["[a", "{a,b", "a\\", &"x".repeat(5000)] {
            let refused = Glob::new(pattern.as_bytes());
            assert!(matches!(refused, Err(Error::Pattern { .. })), "{pattern}");
        }
        assert!(Glob::new(&b"{".repeat(4000)).is_err());
    }

    #[test]
    fn names_at_the_beginning_are_where_to_look() {
        for (pattern, dir) in [
            ("src/a/*.ts", "src/a"),
            ("src/a", "src"),
            ("*.ts", "."),
            ("a{b}/c/d", "."),
        ] {
            assert_eq!(prefix(pattern.as_bytes()).to_string(), dir, "{pattern}");
        }
    }
}
