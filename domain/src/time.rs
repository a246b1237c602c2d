//! Instants and spans, in microseconds. Nobody here reads a clock.

use std::fmt;

/// An instant: microseconds since 1970-01-01T00:00:00Z. Never negative.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Times before 1970 become 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(if micros < 0 { 0 } else { micros })
    }

    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    #[must_use]
    pub const fn as_unix_millis(self) -> u64 {
        self.0.unsigned_abs() / 1_000
    }

    /// How long ago `earlier` was; zero if it lies ahead (clocks step back).
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    #[must_use]
    pub const fn before(self, span: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(span.0))
    }

    #[must_use]
    pub const fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

/// A day and a time of day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub micros: i64,
}

impl Timestamp {
    /// Reads the instant as a date of the proleptic Gregorian calendar, in UTC.
    #[must_use]
    pub const fn civil(self) -> Civil {
        let (days, rest) = (self.0 / 86_400_000_000, self.0 % 86_400_000_000);
        // Count from 0000-03-01, so that a leap day ends its year. 400 years have 146,097 days.
        let days = days + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // Months from March on have 153 days in every five.
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
        Civil {
            year,
            month,
            day: of_year - (153 * from_march + 2) / 5 + 1,
            hour: rest / 3_600_000_000,
            minute: rest / 60_000_000 % 60,
            second: rest / 1_000_000 % 60,
            micros: rest % 1_000_000,
        }
    }

    /// RFC 3339 in UTC with milliseconds: `2026-06-15T08:30:00.250Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let at = self.civil();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            at.year,
            at.month,
            at.day,
            at.hour,
            at.minute,
            at.second,
            at.micros / 1_000
        )
    }
}

/// A span: microseconds, never negative.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Duration(i64);

impl Duration {
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(if micros < 0 { 0 } else { micros })
    }

    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self::from_micros(millis.saturating_mul(1_000))
    }

    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_micros(secs.saturating_mul(1_000_000))
    }

    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0 / 1_000
    }

    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Zero when `other` is the longer one.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self::from_micros(self.0.saturating_sub(other.0))
    }

    /// Reads `500ms`, `30s`, `10m`, `1h30m`, `7d`: whole numbers with units, largest first, each unit once.
    ///
    /// # Errors
    /// Says what was expected. A plain number is refused: its unit would be a guess.
    pub fn parse(text: &str) -> Result<Self, InvalidDuration> {
        const UNITS: [(&str, i64); 5] = [
            ("d", 86_400_000_000),
            ("h", 3_600_000_000),
            ("m", 60_000_000),
            ("s", 1_000_000),
            ("ms", 1_000),
        ];
        let invalid = || InvalidDuration {
            given: text.chars().take(64).collect(),
        };
        let mut rest = text;
        let mut allowed = UNITS.as_slice();
        let mut total = 0_i64;
        if rest.is_empty() {
            return Err(invalid());
        }
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .ok_or_else(invalid)?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let place = allowed
                .iter()
                .position(|(name, _)| *name == unit)
                .ok_or_else(invalid)?;
            let number: i64 = number.parse().map_err(|_| invalid())?;
            let part = number.checked_mul(allowed[place].1).ok_or_else(invalid)?;
            total = total.checked_add(part).ok_or_else(invalid)?;
            allowed = &allowed[place + 1..];
            rest = tail;
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Duration {
    /// The form that `parse` reads, cut to milliseconds.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0 / 1_000;
        if rest == 0 {
            return out.write_str("0ms");
        }
        for (unit, size) in [
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1_000),
            ("ms", 1),
        ] {
            if rest >= size {
                write!(out, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

/// A text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a duration: write it like 500ms, 30s, 10m, 1h30m or 7d")]
pub struct InvalidDuration {
    given: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_rfc_3339() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999_000, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000_999, "2000-03-01T00:00:00.000Z"),
            (1_781_512_200_250_000, "2026-06-15T08:30:00.250Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000Z"),
            (4_102_444_799_000_000, "2099-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(Timestamp::from_micros(micros).to_rfc3339(), text);
        }
    }

    #[test]
    fn durations_read_and_write_the_documented_forms() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("0ms", 0),
        ] {
            let span = Duration::parse(text);
            assert_eq!(span, Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(Duration::from_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn durations_without_or_with_odd_units_are_refused() {
        for text in [
            "",
            "5",
            "m",
            "5 m",
            "-5m",
            "1.5h",
            "30m1h",
            "1h1h",
            "5min",
            "99999999999999d",
        ] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }
}
