//! Rules for files as such: size, length and name.

use super::{Problem, Source};

const MAX_BYTES: usize = 1024 * 1024;
const MAX_LINES: usize = 800;

/// Names under which anything could be put, and names that only tell a file's age.
const DRAWERS: [&str; 10] = [
    "util", "utils", "helper", "helpers", "common", "manager", "types", "impl", "misc", "inner",
];

/// No binaries, nothing large: setup fetches or builds such things.
pub(super) fn contents(bytes: &[u8]) -> Vec<Problem> {
    let mut found = Vec::new();
    if bytes.len() > MAX_BYTES {
        found.push(Problem::file(
            "over 1 MiB: let script/setup make or fetch it",
        ));
    }
    if bytes.contains(&0) || std::str::from_utf8(bytes).is_err() {
        found.push(Problem::file("not text: let script/setup make or fetch it"));
    }
    found
}

/// A source file can be read in one go.
pub(super) fn length(source: &Source<'_>) -> Vec<Problem> {
    let is_source = source.is_rust()
        || source.is_typescript()
        || ["sh", "sql", "py"].contains(&source.extension());
    let lines = source.text.lines().count();
    if !is_source || source.is_generated() || lines <= MAX_LINES {
        return Vec::new();
    }
    vec![Problem::file(format!(
        "{lines} lines, {MAX_LINES} at most: split it by noun or verb"
    ))]
}

/// A file is named for what is in it.
pub(super) fn names(source: &Source<'_>) -> Vec<Problem> {
    let is_module = source.is_rust() || source.is_typescript();
    if !is_module || !format!("/{}", source.path).contains("/src/") {
        return Vec::new();
    }
    source
        .path
        .split('/')
        .map(|part| part.split('.').next().unwrap_or(part))
        .filter(|name| says_nothing(name))
        .map(|name| {
            Problem::file(format!(
                "`{name}` does not say what is in it: give the code its noun, or put it beside its caller"
            ))
        })
        .collect()
}

fn says_nothing(name: &str) -> bool {
    let version = name.strip_prefix('v').is_some_and(|rest| {
        !rest.is_empty() && rest != "1" && rest.bytes().all(|b| b.is_ascii_digit())
    });
    DRAWERS.contains(&name) || version || name.starts_with("new_") || name.starts_with("old_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::lines;

    #[test]
    fn binaries_and_large_files_are_untidy() {
        assert!(contents(b"text\n").is_empty());
        assert_eq!(contents(b"\x7fELF\0").len(), 1);
        assert_eq!(contents(b"\xff\xfe").len(), 1);
        assert_eq!(contents(&vec![b'a'; MAX_BYTES + 1]).len(), 1);
    }

    #[test]
    fn a_source_over_the_length_is_untidy() {
        let long = "x\n".repeat(MAX_LINES + 1);
        assert_eq!(lines(length, "a/src/b.rs", &long), [0]);
        assert_eq!(lines(length, "sdk/src/b.ts", &long), [0]);
        assert_eq!(lines(length, "sdk/src/schema.gen.ts", &long), [0; 0]);
        assert_eq!(lines(length, "Cargo.lock", &long), [0; 0]);
        assert_eq!(
            lines(length, "a/src/b.rs", &"x\n".repeat(MAX_LINES)),
            [0; 0]
        );
    }

    #[test]
    fn a_name_that_says_nothing_is_untidy() {
        for path in [
            "a/src/utils.rs",
            "a/src/common/lease.rs",
            "sdk/src/helpers.ts",
            "a/src/run_v2/v2.rs",
            "a/src/new_run.rs",
        ] {
            assert_eq!(lines(names, path, ""), [0], "{path}");
        }
        for path in [
            "a/src/http/v1/runs.rs",
            "a/src/backoff.rs",
            "examples/a/helpers/x.ts",
        ] {
            assert_eq!(lines(names, path, ""), [0; 0], "{path}");
        }
    }
}
