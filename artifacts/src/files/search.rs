//! Searching in files, line by line, through a buffer.

use std::io::{BufRead as _, BufReader, Read as _};
use std::time::Instant;

use regex::bytes::{Regex, RegexBuilder};

use super::glob::COMPILED_BYTES;
use super::resolve::Last;
use super::tree::{Content, Flow, find};
use super::{Error, Glob, Kind, Path, Tree};

const BUFFER_BYTES: usize = 256 << 10;
/// Longer lines are searched piece by piece.
const LINE_BYTES: u64 = 64 << 10;
/// Of a line, what is told.
const TOLD_BYTES: usize = 512;
/// A zero byte in so many at a file's beginning makes it binary, which is not searched.
const PROBE_BYTES: usize = 8 << 10;
/// Lines between two looks at the clock.
const LINES: u64 = 1024;

/// What is searched for.
#[derive(Debug, Clone)]
pub struct Search {
    regex: Regex,
    only: Option<Glob>,
}

/// How a query is meant.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meant {
    pub regex: bool,
    pub ignore_case: bool,
}

/// A line in which something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    pub path: Path,
    /// From 1.
    pub line: u64,
    /// From 1, in bytes.
    pub column: u64,
    /// The line, or what is around the match in a long one.
    pub text: Vec<u8>,
}

/// What a search brought.
#[derive(Debug, Clone)]
pub struct Matches {
    pub items: Vec<Match>,
    /// The file and line behind which to go on.
    pub next: Option<(Path, u64)>,
}

impl Search {
    /// Compiles a query; `only` says in which files to look.
    ///
    /// # Errors
    /// `Pattern`.
    pub fn new(query: &str, meant: Meant, only: Option<Glob>) -> Result<Self, Error> {
        if query.is_empty() {
            return Err(Error::Pattern {
                reason: "is empty".to_owned(),
            });
        }
        let text = if meant.regex {
            query.to_owned()
        } else {
            regex::escape(query)
        };
        let regex = RegexBuilder::new(&text)
            .case_insensitive(meant.ignore_case)
            .size_limit(COMPILED_BYTES)
            .build()
            .map_err(|error| Error::Pattern {
                reason: match error {
                    regex::Error::CompiledTooBig(_) => "is too complicated".to_owned(),
                    error => format!("is no regular expression: {error}"),
                },
            })?;
        Ok(Self { regex, only })
    }
}

/// Searches the files in a directory, or one file, behind `after`. Ends early at `until`.
///
/// # Errors
/// `NotFound`, `Outside`, `NotRegular`.
pub fn search(
    tree: &(impl Tree + ?Sized),
    at: &Path,
    search: &Search,
    after: Option<&(Path, u64)>,
    (limit, until): (usize, Instant),
) -> Result<Matches, Error> {
    let (base, info) = find(tree, at, Last::Follow)?;
    let info = info.ok_or_else(|| Error::NotFound { path: at.clone() })?;
    let mut seeking = Seeking {
        search,
        limit,
        until,
        found: Matches {
            items: Vec::new(),
            next: None,
        },
    };
    let skip = |path: &Path| match after {
        Some((file, line)) if file == path => *line,
        Some(_) | None => 0,
    };
    if info.kind != Kind::Directory {
        let (_, content) = tree.open(&base)?;
        let skipped = skip(&base);
        seeking.file(&base, content, skipped)?;
        return Ok(seeking.found);
    }
    // The file that a page ended in is looked at again.
    let before = after.map(|(path, _)| before(path));
    tree.walk(&base, before.as_ref(), &mut |found| {
        let (path, kind) = (found.info().path.clone(), found.info().kind);
        if Instant::now() >= until {
            seeking.found.next = seeking.found.next.take().or(Some((path, 0)));
            return Ok(Flow::Stop);
        }
        let wanted = match &search.only {
            Some(only) => only.matches(path.relative_to(&base)),
            None => true,
        };
        if kind != Kind::File || !wanted || after.is_some_and(|(file, _)| path < *file) {
            return Ok(Flow::On);
        }
        let Some(content) = found.open()? else {
            return Ok(Flow::On);
        };
        seeking.file(&path, content, skip(&path))
    })?;
    Ok(seeking.found)
}

/// A path right before another: its directory, as a walk begins with what is in it.
fn before(path: &Path) -> Path {
    // Names are never empty, so nothing lies between a name and itself without its last byte, but what begins with that.
    let mut bytes = path.clone().into_bytes();
    bytes.pop();
    if bytes.last() == Some(&b'/') {
        bytes.pop();
    }
    Path::of(bytes)
}

struct Seeking<'a> {
    search: &'a Search,
    limit: usize,
    until: Instant,
    found: Matches,
}

impl Seeking<'_> {
    /// Searches a file behind its line `skip`.
    fn file(&mut self, path: &Path, content: Content, skip: u64) -> Result<Flow, Error> {
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, content);
        let failed = || Error::io("search in", path);
        let probe = reader.fill_buf().map_err(failed())?;
        if probe.iter().take(PROBE_BYTES).any(|byte| *byte == 0) {
            return Ok(Flow::On);
        }
        let mut line = Vec::new();
        let (mut number, mut ended) = (0, true);
        loop {
            line.clear();
            let read = (&mut reader)
                .take(LINE_BYTES)
                .read_until(b'\n', &mut line)
                .map_err(failed())?;
            if read == 0 {
                return Ok(Flow::On);
            }
            if ended {
                number += 1;
            }
            let first_piece = ended;
            ended = line.last() == Some(&b'\n');
            if ended {
                line.pop();
            }
            if number <= skip {
                continue;
            }
            if number % LINES == 0 && Instant::now() >= self.until {
                self.found.next = Some((path.clone(), number - 1));
                return Ok(Flow::Stop);
            }
            let Some(at) = self.search.regex.find(&line) else {
                continue;
            };
            let told = self
                .found
                .items
                .last()
                .is_some_and(|last| last.path == *path && last.line == number);
            if told && !first_piece {
                continue;
            }
            if self.found.items.len() >= self.limit {
                self.found.next = self
                    .found
                    .items
                    .last()
                    .map(|last| (last.path.clone(), last.line));
                return Ok(Flow::Stop);
            }
            self.found.items.push(Match {
                path: path.clone(),
                line: number,
                column: at.start() as u64 + 1,
                text: around(&line, at.start()).to_vec(),
            });
        }
    }
}

/// What is told of a line: all of it, or the part that the match begins in.
fn around(line: &[u8], at: usize) -> &[u8] {
    if line.len() <= TOLD_BYTES {
        return line;
    }
    let start = at
        .saturating_sub(TOLD_BYTES / 4)
        .min(line.len() - TOLD_BYTES);
    &line[start..start + TOLD_BYTES]
}
