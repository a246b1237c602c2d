//! JSON Schema 2020-12: the one place that knows the library behind it.
//!
//! Schemas come from task projects and are not trusted: nothing is fetched, patterns have a bounded effort.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::Value;

/// Compiling takes milliseconds; this many compiled schemas are kept.
const KEPT: usize = 256;
/// Mismatches that one refusal tells.
const TOLD: usize = 20;
/// Steps that a pattern with look-around may take on one text.
const PATTERN_EFFORT: usize = 100_000;

/// A schema that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct InvalidSchema {
    pub(crate) message: String,
}

/// A value that does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// The field, as `items[0].name`; empty for the whole.
    pub(crate) path: String,
    pub(crate) message: String,
}

/// A compiled schema.
#[derive(Debug)]
pub(crate) struct Schema(Validator);

impl Schema {
    pub(crate) fn compile(schema: &Value) -> Result<Self, InvalidSchema> {
        jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(PATTERN_EFFORT))
            .offline()
            .build(schema)
            .map(Self)
            .map_err(|error| InvalidSchema {
                message: cut(&error.to_string()),
            })
    }

    /// Every way in which `value` does not match, up to a bound; empty if it does.
    pub(crate) fn check(&self, value: &Value) -> Vec<Mismatch> {
        self.0.iter_errors(value).take(TOLD).map(mismatch).collect()
    }
}

fn mismatch(error: ValidationError<'_>) -> Mismatch {
    let mut path = dotted(error.instance_path().as_str());
    if let ValidationErrorKind::Required { property } = error.kind()
        && let Some(name) = property.as_str()
    {
        push(&mut path, name);
    }
    Mismatch {
        path,
        // The value itself is the caller's data, which messages do not repeat.
        message: cut(&error.masked().to_string()),
    }
}

/// Writes a JSON pointer as people write paths.
fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for token in pointer.split('/').skip(1) {
        push(&mut path, &token.replace("~1", "/").replace("~0", "~"));
    }
    path
}

fn push(path: &mut String, name: &str) {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        path.push('[');
        path.push_str(name);
        path.push(']');
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

fn cut(text: &str) -> String {
    text.chars().take(500).collect()
}

/// Compiled schemas by what they say.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<HashMap<[u8; 32], Arc<Schema>>>);

impl Cache {
    /// Gives the compiled form of `schema`.
    pub(crate) fn get(&self, schema: &Value) -> Result<Arc<Schema>, InvalidSchema> {
        let key = *blake3::hash(schema.to_string().as_bytes()).as_bytes();
        if let Some(known) = self.lock().get(&key) {
            return Ok(Arc::clone(known));
        }
        let compiled = Arc::new(Schema::compile(schema)?);
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&compiled));
        Ok(compiled)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Arc<Schema>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use serde_json::json;

    use super::*;

    fn check(schema: &Value, value: &Value, paths: &[&str]) {
        let found = Schema::compile(schema).unwrap().check(value);
        let found: Vec<_> = found
            .iter()
            .map(|mismatch| mismatch.path.as_str())
            .collect();
        assert_eq!(found, paths, "{value}");
    }

    #[test]
    fn a_mismatch_names_the_field() {
        let schema = json!({
            "type": "object",
            "properties": {
                "prNumber": {"type": "integer", "exclusiveMinimum": 0},
                "files": {"type": "array", "items": {"type": "object", "required": ["a.b"]}},
            },
            "required": ["prNumber"],
        });
        check(&schema, &json!({"prNumber": 7}), &[]);
        check(&schema, &json!({"prNumber": "7"}), &["prNumber"]);
        check(&schema, &json!({}), &["prNumber"]);
        check(&schema, &json!([]), &[""]);
        check(
            &schema,
            &json!({"prNumber": 1, "files": [{"a.b": 1}, {}]}),
            &["files[1].a.b"],
        );
    }

    #[test]
    fn a_message_does_not_repeat_the_value() {
        let schema = Schema::compile(&json!({"type": "integer"})).unwrap();
        let found = schema.check(&json!("correct horse"));
        assert!(!found[0].message.contains("correct"), "{found:?}");
    }

    #[test]
    fn look_ahead_patterns_work_and_remote_references_do_not() {
        check(
            &json!({"type": "string", "pattern": "^(?!-)[a-z-]+$"}),
            &json!("-a"),
            &[""],
        );
        assert!(Schema::compile(&json!({"$ref": "https://schemas.invalid/x"})).is_err());
        assert!(Schema::compile(&json!({"type": 7})).is_err());
    }
}
