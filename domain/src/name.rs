//! Names that people choose, with the alphabet and length each kind allows.

use std::fmt;

/// A name breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a valid {kind}: it must match {rule}")]
pub struct NameError {
    pub kind: &'static str,
    pub rule: &'static str,
    /// What was given, cut at 64 characters.
    pub given: String,
}

fn starts_alphanumeric(text: &str) -> bool {
    text.bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $longest:literal, $allowed:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let allowed: fn(u8) -> bool = $allowed;
                if text.len() <= $longest && starts_alphanumeric(text) && text.bytes().all(allowed) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { kind: $kind, rule: $rule, given: text.chars().take(64).collect() })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

names! {
    /// The id of a task, sandbox, secret, cache or schedule.
    ResourceName, "name", "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", 128,
        |byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    StreamName, "stream name", "^[A-Za-z0-9][A-Za-z0-9._-]{0,255}$", 256,
        |byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    QueueName, "queue name", "^[A-Za-z0-9][A-Za-z0-9._/-]{0,255}$", 256,
        |byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    /// Of an organization, project or environment.
    Slug, "slug", "^[a-z0-9][a-z0-9-]{0,62}$", 63,
        |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_alphabet_and_length() {
        for good in ["a", "Release-1.2_x", &"a".repeat(128)] {
            assert!(good.parse::<ResourceName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "\u{e9}", &"a".repeat(129)] {
            assert!(bad.parse::<ResourceName>().is_err(), "{bad}");
        }
        assert!("a/b".parse::<QueueName>().is_ok());
        assert!("Main".parse::<Slug>().is_err());
        assert!("Abc".parse::<StreamName>().is_ok());
    }
}
