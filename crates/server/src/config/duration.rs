//! Durations as people write them: `5s`, `30m`, `2h`, `5d`, `250ms`.

use std::time::Duration;

/// The longest duration a setting takes: ten years. Sums with any time of today stay far from overflow.
const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Units, largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Parses a whole number and its unit.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let fix =
        || "is not a duration; write a number and a unit, for example `5s`, `30m`, `2h` or `5d`".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(fix)?;
    let number: u64 = number.parse().map_err(|_| fix())?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(fix)?;
    let duration = number.checked_mul(*millis).map(Duration::from_millis).ok_or_else(fix)?;
    if duration > DURATION_MAX {
        return Err("is longer than ten years; write a shorter duration".to_owned());
    }
    Ok(duration)
}

/// The duration in the largest unit that gives a whole number; parts below a millisecond are dropped.
pub(crate) fn format(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let (unit, size) = UNITS.iter().find(|(_, size)| millis.is_multiple_of(*size)).unwrap_or(&("ms", 1));
    format!("{}{unit}", millis / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, seconds, printed) in [
            ("5s", 5, "5s"),
            ("90s", 90, "90s"),
            ("60s", 60, "1m"),
            ("30m", 1800, "30m"),
            ("2h", 7200, "2h"),
            ("120h", 432_000, "5d"),
            ("5d", 432_000, "5d"),
            ("0s", 0, "0s"),
            ("2000ms", 2, "2s"),
        ] {
            let duration = parse(text).unwrap();
            assert_eq!(duration, Duration::from_secs(seconds), "{text}");
            assert_eq!(format(duration), printed, "{text}");
            assert_eq!(parse(printed), Ok(duration), "{printed}");
        }
        assert_eq!(format(Duration::from_millis(250)), "250ms");
    }

    #[test]
    fn other_texts_are_no_durations() {
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "5.5s",
            "5w",
            "5sm",
            "99999999999999999999d",
            "18446744073709551615d",
            "4000d",
            "５s",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
