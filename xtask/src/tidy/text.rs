//! Rules for every text file.

use super::{Problem, Source};

const OPEN_ENDS: [&str; 3] = ["TODO", "FIXME", "XXX"];
const HOMES: [&str; 2] = ["/home/", "/Users/"];
/// Users of images and of examples.
const PLACEHOLDERS: [&str; 4] = ["agent", "me", "node", "user"];
const SKIPPED: [&str; 9] = [
    "it.skip(",
    "it.only(",
    "it.todo(",
    "test.skip(",
    "test.only(",
    "test.todo(",
    "describe.skip(",
    "describe.only(",
    "describe.todo(",
];

/// What is left to do is said where it is planned.
pub(super) fn no_open_ends(source: &Source<'_>) -> Vec<Problem> {
    if source.is_tidy() || source.is_generated() || is_lock(source.path) {
        return Vec::new();
    }
    lines_where(source, |line| {
        OPEN_ENDS.iter().any(|mark| {
            line.match_indices(mark).any(|(at, _)| {
                stands_alone(line, at, mark.len()) && !names_an_issue(&line[at + mark.len()..])
            })
        })
    })
    .map(|index| Problem::line(index, "an open end needs an issue: `TODO(#12): …`"))
    .collect()
}

/// Nothing depends on where somebody's checkout or home lies.
pub(super) fn no_machine_paths(source: &Source<'_>) -> Vec<Problem> {
    if source.is_tidy() {
        return Vec::new();
    }
    lines_where(source, |line| {
        names_path(line, source.root) || HOMES.iter().any(|home| names_home(line, home))
    })
    .map(|index| {
        Problem::line(
            index,
            "a path of one machine: make it relative, or take it from the environment",
        )
    })
    .collect()
}

/// A test of the SDK runs or does not exist.
pub(super) fn no_skipped_tests(source: &Source<'_>) -> Vec<Problem> {
    if !source.is_typescript() {
        return Vec::new();
    }
    lines_where(source, |line| {
        SKIPPED.iter().any(|call| line.contains(call))
    })
    .map(|index| Problem::line(index, "no skipped, lone or planned tests: all run, always"))
    .collect()
}

fn lines_where<'a>(
    source: &Source<'a>,
    matches: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = usize> + 'a {
    source
        .text
        .lines()
        .enumerate()
        .filter(move |(_, line)| matches(line))
        .map(|(index, _)| index)
}

fn is_lock(path: &str) -> bool {
    ["Cargo.lock", "package-lock.json", "go.sum"]
        .iter()
        .any(|name| path.ends_with(name))
}

/// Whether a word of this length at this place has no letter or digit beside it.
fn stands_alone(line: &str, at: usize, length: usize) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    !line[..at].ends_with(part_of_word) && !line[at + length..].starts_with(part_of_word)
}

fn names_an_issue(rest: &str) -> bool {
    rest.strip_prefix("(#")
        .and_then(|rest| rest.split_once(')'))
        .is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether the line names the path or something below it. A root of one step (`/src`) is too common a word to tell.
fn names_path(line: &str, root: &str) -> bool {
    root.matches('/').count() > 1
        && line.match_indices(root).any(|(at, _)| {
            !line[at + root.len()..].starts_with(|c: char| c.is_alphanumeric() || "-_.".contains(c))
        })
}

/// Whether the line names a folder in somebody's home. `/home/` alone, or with a placeholder, is fine.
fn names_home(line: &str, home: &str) -> bool {
    line.match_indices(home).any(|(at, _)| {
        let rest = &line[at + home.len()..];
        let name = rest
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
            .next();
        let begins_a_path =
            !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}".contains(c));
        begins_a_path && name.is_some_and(|name| !name.is_empty() && !PLACEHOLDERS.contains(&name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::lines;

    #[test]
    fn an_open_end_without_an_issue_is_untidy() {
        let rule = no_open_ends;
        assert_eq!(lines(rule, "a.rs", "x\n// TODO: later\n"), [2]);
        assert_eq!(lines(rule, "a.sh", "# FIXME(#): later\n"), [1]);
        assert_eq!(lines(rule, "a.rs", "// TODO(#12): later\n"), [0; 0]);
        assert_eq!(
            lines(rule, "a.rs", "let AUTODOC = MASTODON_XXXL;\n"),
            [0; 0]
        );
    }

    #[test]
    fn a_path_of_one_machine_is_untidy() {
        let rule = no_machine_paths;
        assert_eq!(lines(rule, "a.md", "cd /build/checkout/docs\n"), [1]);
        assert_eq!(lines(rule, "a.md", "in /build/checkout\n"), [1]);
        assert_eq!(lines(rule, "a.md", "/build/checkout-2\n"), [0; 0]);
        assert_eq!(lines(rule, "a.md", "x = /home/alice/src\n"), [1]);
        assert_eq!(lines(rule, "a.md", "${ROOT}/home/alice\n"), [0; 0]);
        assert_eq!(lines(rule, "a.md", "/home/user/src and /home/\n"), [0; 0]);
    }

    #[test]
    fn a_skipped_test_is_untidy() {
        assert_eq!(
            lines(no_skipped_tests, "a.test.ts", "it.skip(\"x\", f)\n"),
            [1]
        );
        assert_eq!(
            lines(no_skipped_tests, "a.test.ts", "it(\"x\", f)\n"),
            [0; 0]
        );
    }
}
