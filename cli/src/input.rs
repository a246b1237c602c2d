//! JSON given on the command line: as it stands, from a file (`@FILE`) or from standard input (`-`).

use std::io::Read as _;

use serde_json::{Map, Value};

use crate::error::CommandError;

/// The largest text that is read; the server's own limits are lower.
const LIMIT: u64 = 64 << 20;

/// Where a JSON value comes from, as written by the user.
#[derive(Debug, Clone)]
pub struct Json {
    source: String,
}

impl std::str::FromStr for Json {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self {
            source: text.to_owned(),
        })
    }
}

impl Json {
    /// Reads the value. `what` names it in messages, for example `--payload`.
    pub(crate) fn read(&self, what: &str) -> Result<Value, CommandError> {
        let (text, origin) = if self.source == "-" {
            (read_stdin(what)?, "standard input".to_owned())
        } else if let Some(path) = self.source.strip_prefix('@') {
            (read_file(what, path)?, path.to_owned())
        } else {
            (self.source.clone(), "the command line".to_owned())
        };
        serde_json::from_str(&text).map_err(|error| {
            let made = CommandError::usage(format!("{what}: {origin} holds no JSON: {error}"));
            let bare = origin == "the command line" && !text.contains(['{', '[', '"']);
            made.hint(if bare {
                format!("a text needs its quotes: {what} '\"{}\"'", text.replace('\'', ""))
            } else {
                "quote it for the shell: '{\"key\":\"value\"}', or use @FILE or - for standard input".to_owned()
            })
        })
    }

    /// Reads the value, which must be an object.
    pub(crate) fn read_object(&self, what: &str) -> Result<Map<String, Value>, CommandError> {
        match self.read(what)? {
            Value::Object(map) => Ok(map),
            _ => Err(CommandError::usage(format!(
                "{what}: expected a JSON object"
            ))),
        }
    }
}

fn read_stdin(what: &str) -> Result<String, CommandError> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(LIMIT)
        .read_to_string(&mut text)
        .map_err(|error| {
            CommandError::usage(format!("{what}: read standard input")).because(&error)
        })?;
    Ok(text)
}

fn read_file(what: &str, path: &str) -> Result<String, CommandError> {
    let failed =
        |error: std::io::Error| CommandError::usage(format!("{what}: read {path}")).because(&error);
    let mut text = String::new();
    std::fs::File::open(path)
        .map_err(failed)?
        .take(LIMIT)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

/// A span such as `30s`.
pub(crate) fn duration(text: &str) -> Result<helmr_domain::Duration, String> {
    helmr_domain::Duration::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::style::Style;

    fn read(source: &str) -> Result<Value, String> {
        let json: Json = source.parse().unwrap();
        json.read("--payload")
            .map_err(|error| error.render(Style::plain()))
    }

    #[test]
    fn json_comes_from_the_line_or_a_file() {
        assert_eq!(read("{\"a\":1}"), Ok(serde_json::json!({"a": 1})));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[true]").unwrap();
        assert_eq!(
            read(&format!("@{}", file.path().display())),
            Ok(serde_json::json!([true]))
        );
    }

    #[test]
    fn what_is_no_json_is_told_how_to_write() {
        let bare = read("hello").unwrap_err();
        assert!(bare.contains("'\"hello\"'"), "{bare}");
        let broken = read("{a:1}").unwrap_err();
        assert!(broken.contains("quote it for the shell"), "{broken}");
        let missing = read("@/nowhere/at/all").unwrap_err();
        assert!(missing.contains("read /nowhere/at/all"), "{missing}");
    }
}
