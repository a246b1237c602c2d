//! Data against a declared schema.

use helmr_api::error::Code;
use serde_json::{Value, json};

use crate::schema::Schema;
use crate::{ApiError, Control};

/// Checks `data` against `schema`; `what` is what people call the data.
///
/// # Errors
/// `code`, naming the first field that does not match and listing the others.
pub(crate) fn check(
    control: &Control,
    schema: &Value,
    data: &Value,
    code: Code,
    what: &str,
) -> Result<(), ApiError> {
    // Checked when it was deployed, so a schema that does not compile is the server's fault.
    let schema = control
        .schemas
        .get(schema)
        .map_err(|error| ApiError::internal(&error))?;
    check_against(&schema, data, code, what)
}

/// As [`check`], against a compiled schema.
///
/// # Errors
/// `code`.
pub(crate) fn check_against(
    schema: &Schema,
    data: &Value,
    code: Code,
    what: &str,
) -> Result<(), ApiError> {
    let found = schema.check(data);
    let Some(first) = found.first() else {
        return Ok(());
    };
    let at = if first.path.is_empty() {
        String::new()
    } else {
        format!(" at {}", first.path)
    };
    let listed: Vec<Value> = found
        .iter()
        .map(|mismatch| json!({ "path": mismatch.path, "message": mismatch.message }))
        .collect();
    Err(ApiError::new(
        code,
        format!("{what} does not match its schema{at}: {}", first.message),
    )
    .with_details(json!({ "path": first.path, "errors": listed })))
}
