//! Times and spans as they stand on the wire.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use helmr_domain::{Duration, Timestamp};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// An instant: RFC 3339 in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Timestamp);

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = jiff::Timestamp::from_microsecond(self.0.as_micros()).map_err(|_| fmt::Error)?;
        write!(out, "{at:.3}")
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

/// A text that is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a time like 2026-06-01T00:00:00.000Z")]
pub struct NotATime;

impl FromStr for Time {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let at: jiff::Timestamp = text.parse().map_err(|_| NotATime)?;
        Ok(Self(Timestamp::from_micros(at.as_microsecond())))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(from)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for Time {}

/// A span: text such as `500ms`, `30s`, `10m`, `1h30m`, `7d`, or milliseconds as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&self.0)
    }
}

struct SpanVisitor;

impl Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a duration like 500ms, 30s, 10m, 1h30m or 7d, or milliseconds as a number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
        Duration::parse(text).map(Span).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, millis: u64) -> Result<Span, E> {
        i64::try_from(millis)
            .map(|millis| Span(Duration::from_millis(millis)))
            .map_err(|_| E::custom("the duration is too long"))
    }

    fn visit_i64<E: de::Error>(self, millis: i64) -> Result<Span, E> {
        u64::try_from(millis)
            .map_err(|_| E::custom("a duration cannot be negative"))
            .and_then(|millis| self.visit_u64(millis))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SpanVisitor)
    }
}

impl PartialSchema for Span {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .examples(["30s"]),
            )
            .item(
                ObjectBuilder::new()
                    .schema_type(Type::Integer)
                    .description(Some("Milliseconds.")),
            )
            .into()
    }
}

impl ToSchema for Span {}

/// Tells a field that is absent from one that is `null`. For fields with `#[serde(default, with = "given")]`.
pub mod given {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
        Value::deserialize(from).map(Some)
    }

    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Option<Value>, out: S) -> Result<S::Ok, S::Error> {
        value.serialize(out)
    }
}

/// Tells a field that is absent from one that is `null`, where the latter takes a value away. For fields with
/// `#[serde(default, with = "changed")]`.
pub mod changed {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, T, D>(from: D) -> Result<Option<Option<T>>, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Option::deserialize(from).map(Some)
    }

    /// # Errors
    /// Those of the serializer.
    pub fn serialize<T, S>(value: &Option<Option<T>>, out: S) -> Result<S::Ok, S::Error>
    where
        T: Serialize,
        S: Serializer,
    {
        value.serialize(out)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_time_has_milliseconds_and_reads_back() {
        let at = Time(Timestamp::from_micros(1_780_272_000_250_000));
        let text = serde_json::to_string(&at).unwrap();
        assert_eq!(text, "\"2026-06-01T00:00:00.250Z\"");
        assert_eq!(serde_json::from_str::<Time>(&text).unwrap(), at);
        assert!(serde_json::from_str::<Time>("\"tomorrow\"").is_err());
    }

    #[test]
    fn null_is_another_word_than_none() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Change {
            #[serde(default, with = "changed", skip_serializing_if = "Option::is_none")]
            name: Option<Option<String>>,
        }
        for (text, name) in [
            ("{}", None),
            (r#"{"name":null}"#, Some(None)),
            (r#"{"name":"a"}"#, Some(Some("a".to_owned()))),
        ] {
            let change = Change { name };
            assert_eq!(serde_json::from_str::<Change>(text).unwrap(), change);
            assert_eq!(serde_json::to_string(&change).unwrap(), text);
        }
    }

    #[test]
    fn a_span_is_text_or_milliseconds() {
        for text in ["\"1m30s\"", "90000"] {
            assert_eq!(
                serde_json::from_str::<Span>(text).unwrap().0,
                Duration::from_secs(90)
            );
        }
        for text in ["-1", "1.5", "\"soon\"", "true"] {
            assert!(serde_json::from_str::<Span>(text).is_err(), "{text}");
        }
    }
}
