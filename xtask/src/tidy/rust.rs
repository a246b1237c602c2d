//! Rules for Rust sources.

use super::{Problem, Source};

/// Statements that only the store may hold, as they begin a string or a line of one.
const SQL: [&str; 7] = [
    "SELECT ",
    "INSERT INTO ",
    "UPDATE ",
    "DELETE FROM ",
    "CREATE TABLE ",
    "WITH RECURSIVE ",
    "ALTER TABLE ",
];

/// The store, and the bare baseline that it is measured against.
const SPEAKS_SQL: [&str; 3] = ["store/", "bench/", "testkit/src/postgres.rs"];

/// What would let the outside into a pure function.
const IMPURE: [&str; 9] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "tokio::",
    "rand::",
];

/// A file says first what it is for.
pub(super) fn opens_with_its_purpose(source: &Source<'_>) -> Vec<Problem> {
    if !source.is_rust() || source.is_generated() || source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![Problem::line(
        0,
        "begin the file with `//!`: its purpose, what it does not know, its invariant",
    )]
}

/// A test runs or does not exist.
pub(super) fn no_ignored_tests(source: &Source<'_>) -> Vec<Problem> {
    if !source.is_rust() || source.is_tidy() {
        return Vec::new();
    }
    matching(source, |line| line.starts_with("#[ignore"))
        .map(|index| {
            Problem::line(
                index,
                "no ignored tests: make it pass or remove it; one that misses a tool fails and names script/setup",
            )
        })
        .collect()
}

/// Only the store speaks SQL.
pub(super) fn no_sql_outside_the_store(source: &Source<'_>) -> Vec<Problem> {
    if !source.is_rust()
        || source.is_tidy()
        || SPEAKS_SQL.iter().any(|part| source.path.starts_with(part))
    {
        return Vec::new();
    }
    let begins = |text: &str| SQL.iter().any(|statement| text.starts_with(statement));
    matching(source, |line| {
        !line.starts_with("//")
            && (begins(line)
                || line
                    .split('"')
                    .skip(1)
                    .any(|part| begins(part.trim_start())))
    })
    .map(|index| Problem::line(index, "SQL lives in the store crate, in a named statement"))
    .collect()
}

/// The domain decides from what it is given, and from nothing else.
pub(super) fn domain_is_pure(source: &Source<'_>) -> Vec<Problem> {
    if !source.is_rust() || !source.path.starts_with("domain/src/") {
        return Vec::new();
    }
    matching(source, |line| {
        !line.starts_with("//") && IMPURE.iter().any(|word| line.contains(word))
    })
    .map(|index| {
        Problem::line(
            index,
            "the domain is pure: no I/O, clock, randomness or tasks; take the value as an argument",
        )
    })
    .collect()
}

/// The indexes of the lines that, trimmed, match.
fn matching<'a>(
    source: &Source<'a>,
    matches: impl Fn(&str) -> bool + 'a,
) -> impl Iterator<Item = usize> + 'a {
    source
        .text
        .lines()
        .enumerate()
        .filter(move |(_, line)| matches(line.trim()))
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::lines;

    #[test]
    fn a_rust_file_without_a_purpose_is_untidy() {
        let rule = opens_with_its_purpose;
        assert_eq!(lines(rule, "a/src/b.rs", "//! Does b.\n"), [0; 0]);
        assert_eq!(
            lines(rule, "a/src/b.rs", "// @generated\nfn b() {}\n"),
            [0; 0]
        );
        assert_eq!(lines(rule, "a/b.toml", "x = 1\n"), [0; 0]);
        assert_eq!(lines(rule, "a/src/b.rs", "use c;\n"), [1]);
        assert_eq!(lines(rule, "a/src/b.rs", ""), [1]);
    }

    #[test]
    fn an_ignored_test_is_untidy() {
        let text = "//! T.\n#[test]\n    #[ignore = \"slow\"]\nfn t() {}\n";
        assert_eq!(lines(no_ignored_tests, "a/src/b.rs", text), [3]);
        assert_eq!(
            lines(no_ignored_tests, "a/src/b.rs", "// #[ignore]\n"),
            [0; 0]
        );
    }

    #[test]
    fn sql_outside_the_store_is_untidy() {
        let rule = no_sql_outside_the_store;
        let text =
            "//! T.\nlet a = \"SELECT id FROM runs\";\nlet b = \"\n    DELETE FROM runs\";\n";
        assert_eq!(lines(rule, "control/src/b.rs", text), [2, 4]);
        assert_eq!(lines(rule, "store/src/b.rs", text), [0; 0]);
        assert_eq!(
            lines(rule, "control/src/b.rs", "// SELECT a run\nSELECTED\n"),
            [0; 0]
        );
    }

    #[test]
    fn a_clock_in_the_domain_is_untidy() {
        let text =
            "//! T.\nlet now = std::time::SystemTime::now();\n// SystemTime is the caller's.\n";
        assert_eq!(lines(domain_is_pure, "domain/src/run.rs", text), [2]);
        assert_eq!(lines(domain_is_pure, "worker/src/run.rs", text), [0; 0]);
    }
}
