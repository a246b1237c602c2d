//! Typed ids: `prefix_` and 26 characters of base32 of a UUIDv7 (the TypeID form).
//!
//! An id is parsed once at the edge. The caller brings time and randomness, so that a simulation can replay them.

use std::fmt;
use std::str::FromStr;

use crate::Timestamp;

/// Crockford's alphabet in lower case, as TypeID 0.3 has it.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ENCODED_LENGTH: usize = 26;

/// A text is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not an id of the form `{prefix}_…`")]
pub struct InvalidId {
    /// The prefix that was expected.
    pub prefix: &'static str,
    /// What was given, cut at 64 characters.
    pub given: String,
}

/// The digit of each letter of the alphabet, by its byte; 255 for all others.
const DIGITS: [u8; 256] = {
    let mut digits = [255; 256];
    let mut digit = 0_u8;
    while digit < 32 {
        digits[ALPHABET[digit as usize] as usize] = digit;
        digit += 1;
    }
    digits
};

fn encode(prefix: &str, value: u128, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0_u8; ENCODED_LENGTH];
    let mut rest = value;
    for place in text.iter_mut().rev() {
        *place = ALPHABET[usize::from((rest & 31) as u8)];
        rest >>= 5;
    }
    out.write_str(prefix)?;
    out.write_str("_")?;
    out.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
}

fn decode(prefix: &'static str, text: &str) -> Result<u128, InvalidId> {
    let invalid = || InvalidId {
        prefix,
        given: text.chars().take(64).collect(),
    };
    let rest = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .ok_or_else(invalid)?;
    // 26 characters hold 130 bits: the first may only use its three lowest.
    if rest.len() != ENCODED_LENGTH || rest.as_bytes()[0] > b'7' {
        return Err(invalid());
    }
    rest.bytes()
        .try_fold(0_u128, |value, byte| match DIGITS[usize::from(byte)] {
            255 => Err(invalid()),
            digit => Ok((value << 5) | u128::from(digit)),
        })
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// What ids of this kind start with, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id from the time it is made at and ten random bytes.
            #[must_use]
            pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(now.as_unix_millis(), &random).into_uuid().as_u128())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                encode($prefix, self.0, out)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                decode($prefix, text).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                out.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    OrganizationId = "org";
    UserId = "user";
    ProjectId = "proj";
    EnvironmentId = "env";
    ApiKeyId = "key";
    GroupId = "grp";
    WorkerId = "wkr";
    DeploymentId = "dep";
    TaskRowId = "task";
    SandboxId = "sbx";
    ImageId = "img";
    WorkspaceId = "ws";
    VersionId = "wsv";
    MaterializationId = "mat";
    CheckpointId = "ckp";
    ExecId = "exec";
    PtyId = "pty";
    SessionId = "ses";
    RunId = "run";
    AttemptId = "att";
    WaitId = "wait";
    TokenId = "tok";
    StreamId = "str";
    RecordId = "rec";
    ScheduleId = "sch";
    SecretId = "sec";
    PublicTokenId = "pat";
    EventId = "evt";
    BlobId = "blob";
    RequestId = "req";
}

/// What people run in a machine by itself: an exec, or the process that has a PTY's terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProcessId {
    Exec(ExecId),
    Pty(PtyId),
}

impl ProcessId {
    /// As an exec's, for what is known to be one.
    #[must_use]
    pub const fn as_exec(self) -> ExecId {
        match self {
            Self::Exec(id) => id,
            Self::Pty(PtyId(number)) => ExecId(number),
        }
    }

    /// As a PTY's, for what is known to be one.
    #[must_use]
    pub const fn as_pty(self) -> PtyId {
        match self {
            Self::Pty(id) => id,
            Self::Exec(ExecId(number)) => PtyId(number),
        }
    }
}

impl From<ExecId> for ProcessId {
    fn from(id: ExecId) -> Self {
        Self::Exec(id)
    }
}

impl From<PtyId> for ProcessId {
    fn from(id: PtyId) -> Self {
        Self::Pty(id)
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exec(id) => id.fmt(out),
            Self::Pty(id) => id.fmt(out),
        }
    }
}

impl FromStr for ProcessId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.parse::<PtyId>()
            .map(Self::Pty)
            .or_else(|_| text.parse().map(Self::Exec))
    }
}

impl serde::Serialize for ProcessId {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ProcessId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        let id = RunId::new(Timestamp::from_micros(1_770_000_000_123_456), [7; 10]);
        let text = id.to_string();
        assert!(text.starts_with("run_") && text.len() == 30, "{text}");
        assert_eq!(text.parse(), Ok(id));
    }

    #[test]
    fn a_process_is_an_exec_or_a_pty() {
        let (now, random) = (Timestamp::from_micros(5_000), [1; 10]);
        let (exec, pty) = (ExecId::new(now, random), PtyId::new(now, random));
        for process in [ProcessId::from(exec), ProcessId::from(pty)] {
            assert_eq!(process.to_string().parse(), Ok(process));
        }
        assert!(
            RunId::new(now, random)
                .to_string()
                .parse::<ProcessId>()
                .is_err()
        );
        assert_eq!(ProcessId::from(pty).as_exec(), exec);
        assert_eq!(ProcessId::from(exec).as_pty(), pty);
    }

    #[test]
    fn ids_made_later_sort_later() {
        let early = RunId::new(Timestamp::from_micros(1_000_000), [255; 10]);
        let late = RunId::new(Timestamp::from_micros(2_000_000), [0; 10]);
        assert!(early < late && early.to_string() < late.to_string());
    }

    #[test]
    fn another_kind_a_wrong_length_and_a_wrong_letter_are_refused() {
        let id = RunId::new(Timestamp::from_micros(5_000), [1; 10]).to_string();
        assert!(id.parse::<TokenId>().is_err());
        assert!(id[..29].parse::<RunId>().is_err());
        assert!(id.replace("run_0", "run_8").parse::<RunId>().is_err());
        assert!("run_0000000000000000000000000u".parse::<RunId>().is_err());
        assert!(
            "run_\u{e9}000000000000000000000000"
                .parse::<RunId>()
                .is_err()
        );
    }
}
