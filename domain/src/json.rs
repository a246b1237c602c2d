//! JSON data in its canonical form (RFC 8785), so that equal data is equal text.

use serde_json::Value;

/// JSON in RFC 8785 form: sorted keys, no spaces, ECMAScript numbers.
///
/// Numbers are IEEE 754 doubles there, so integers beyond 2^53 collapse as they do in JavaScript.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CanonicalJson(String);

/// Data that has no canonical form, such as a number beyond the range of a double.
#[derive(Debug, thiserror::Error)]
#[error("the data has no canonical JSON form")]
pub struct NotCanonical(#[source] serde_json::Error);

impl CanonicalJson {
    /// Takes text that came out of `as_str` before, for example from a database.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The data itself; `None` if the text was never in `as_str`.
    #[must_use]
    pub fn to_value(&self) -> Option<Value> {
        serde_json::from_str(&self.0).ok()
    }

    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl TryFrom<&Value> for CanonicalJson {
    type Error = NotCanonical;

    fn try_from(value: &Value) -> Result<Self, NotCanonical> {
        serde_json_canonicalizer::to_string(value)
            .map(Self)
            .map_err(NotCanonical)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(value: &Value, expected: &str) {
        assert_eq!(
            CanonicalJson::try_from(value)
                .map(CanonicalJson::into_string)
                .ok()
                .as_deref(),
            Some(expected)
        );
    }

    #[test]
    fn key_order_and_number_form_do_not_matter() {
        check(
            &json!({"b": 1.0, "a": [1e21, -0.0, "\u{e9}"]}),
            "{\"a\":[1e+21,0,\"\u{e9}\"],\"b\":1}",
        );
    }
}
