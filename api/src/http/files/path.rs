//! Paths as text. Names of files are bytes; what is not UTF-8 in them is written `\xNN`.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A path, or the text of a link: any bytes. As text, a byte that is not part of UTF-8 is `\x` and two hexadecimal digits.
/// So that every text means one path, a backslash that would be read so is itself `\x5c`; every other stands for itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PathText(pub Vec<u8>);

impl PathText {
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last name.
    #[must_use]
    pub fn name(&self) -> Self {
        let name = self.0.rsplit(|byte| *byte == b'/').next();
        Self(name.unwrap_or_default().to_vec())
    }
}

impl From<&[u8]> for PathText {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl FromStr for PathText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            if let Some((byte, behind)) = escaped(rest) {
                bytes.push(byte);
                rest = behind;
            } else {
                bytes.push(*first);
                rest = after;
            }
        }
        Ok(Self(bytes))
    }
}

/// The byte that `text` begins with if it is written `\xNN`, and what is behind.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'\\', b'x', high, low, behind @ ..] = text else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = digit(*high)? * 16 + digit(*low)?;
    Some((u8::try_from(byte).ok()?, behind))
}

impl fmt::Display for PathText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.utf8_chunks() {
            let mut text = part.valid();
            while let Some(at) = text.find('\\') {
                out.write_str(&text[..at])?;
                out.write_str(if escaped(&text.as_bytes()[at..]).is_some() {
                    "\\x5c"
                } else {
                    "\\"
                })?;
                text = &text[at + 1..];
            }
            out.write_str(text)?;
            for byte in part.invalid() {
                write!(out, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for PathText {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PathText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let Ok(path) = text.parse();
        Ok(path)
    }
}

impl PartialSchema for PathText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "A path from the root of the workspace. A byte that is not UTF-8 is written `\\xNN`.",
            ))
            .examples(["src/main.ts"])
            .into()
    }
}

impl ToSchema for PathText {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], text: &str) {
        let path = PathText(bytes.to_vec());
        assert_eq!(path.to_string(), text);
        assert_eq!(text.parse(), Ok(path), "{text}");
    }

    #[test]
    fn every_name_has_a_text_and_comes_back() {
        check(b"src/main.ts", "src/main.ts");
        check("grüße/日本".as_bytes(), "grüße/日本");
        check(b"caf\xe9", r"caf\xe9");
        check(b"\xff\xfe", r"\xff\xfe");
        check(br"a\b", r"a\b");
        check(br"a\xb", r"a\xb");
        check(br"a\xff", r"a\x5cxff");
        check(b"\\\xff", r"\\xff");
        check(b"\\x4\xff", r"\x4\xff");
        check(br"\x5c", r"\x5cx5c");
        check(b"", "");
    }

    #[test]
    fn a_thousand_odd_names_come_back() {
        // Every pair of the bytes that matter, and then some behind.
        let odd = b"\\x5cfF0/\xc3\xa9\xff";
        for first in odd {
            for second in odd {
                for third in odd {
                    let bytes = [&[*first, *second, *third], odd.as_slice(), &[*first]].concat();
                    let text = PathText(bytes.clone()).to_string();
                    assert_eq!(text.parse(), Ok(PathText(bytes)), "{text}");
                }
            }
        }
    }

    #[test]
    fn what_was_escaped_without_need_is_read_all_the_same() {
        assert_eq!(r"\x41\x2F".parse(), Ok(PathText(b"A/".to_vec())));
    }
}
