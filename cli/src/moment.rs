//! Times for people: how long ago, how long, how large.

use helmr_api::http::value::Time;
use helmr_domain::Timestamp;

/// `12 s ago`, `in 3 h`; a date from thirty days on.
pub(crate) fn relative(at: Time, now: Timestamp) -> String {
    let (span, ahead) = if at.0 > now {
        (at.0.since(now), true)
    } else {
        (now.since(at.0), false)
    };
    let seconds = span.as_millis() / 1_000;
    if seconds == 0 {
        return "now".to_owned();
    }
    if seconds >= 30 * 86_400 {
        return at.to_string().chars().take(10).collect();
    }
    let text = coarse(seconds);
    if ahead {
        format!("in {text}")
    } else {
        format!("{text} ago")
    }
}

/// The largest unit alone: `12 s`, `3 min`, `5 h`, `2 d`.
fn coarse(seconds: i64) -> String {
    for (unit, size) in [("d", 86_400), ("h", 3_600), ("min", 60)] {
        if seconds >= size {
            return format!("{} {unit}", seconds / size);
        }
    }
    format!("{seconds} s")
}

/// A measured time: `850 ms`, `1.2 s`, `3 min 20 s`.
pub(crate) fn lasted(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1_000.0)
    } else if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!(
            "{:.0} min {:.0} s",
            (seconds / 60.0).floor(),
            (seconds % 60.0).floor()
        )
    }
}

/// `512 B`, `1.5 KiB`, `38.2 MiB`, `1.0 GiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    for (unit, one) in UNITS {
        if bytes >= one {
            // In tenths, so that no precision is lost on the way to a float.
            let tenths = u128::from(bytes) * 10 / u128::from(one);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use helmr_domain::Duration;

    use super::*;

    #[test]
    fn times_are_told_from_now() {
        let now = Timestamp::from_micros(1_780_272_000_000_000);
        for (seconds, text) in [
            (0, "now"),
            (12, "12 s ago"),
            (200, "3 min ago"),
            (7_300, "2 h ago"),
            (200_000, "2 d ago"),
        ] {
            let at = Timestamp::from_micros(now.as_micros() - seconds * 1_000_000);
            assert_eq!(relative(Time(at), now), text);
        }
        assert_eq!(
            relative(Time(now.after(Duration::from_secs(7_300))), now),
            "in 2 h"
        );
        assert_eq!(relative(Time(Timestamp::from_micros(0)), now), "1970-01-01");
    }

    #[test]
    fn sizes_and_spans_have_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (310_947_840, "296.5 MiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (seconds, text) in [(0.85, "850 ms"), (1.24, "1.2 s"), (200.4, "3 min 20 s")] {
            assert_eq!(lasted(seconds), text);
        }
    }
}
