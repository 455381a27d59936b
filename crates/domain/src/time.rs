//! Points in time: integer microseconds UTC inside, RFC 3339 with three fractional digits outside.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Microseconds since 1970-01-01T00:00:00Z. This is what the store keeps; the API shows milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Digits of a fraction of a second that are read: nanoseconds.
const FRACTION_DIGITS_MAX: usize = 9;

impl Timestamp {
    /// Latest time the API can show: the last microsecond of the year 9999.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// Earliest time the API can show: the year 1.
    const MIN: Self = Self(-62_135_596_800_000_000);

    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since the epoch; saturates instead of overflowing on absurd input.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This time plus `duration`, saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This time minus `duration`, saturating.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads an ISO 8601 date and time with `Z` or a numeric offset and 0 to 9 fractional digits. A time without a
    /// zone, or a bare date, is refused: guessing a zone silently shifts filters and schedules. So is what could not be
    /// shown again because it lies before the year 1 or after 9999 in UTC.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        if !text.as_bytes().get(10).is_some_and(|b| *b == b'T' || *b == b't') || text.len() > 40 {
            return None;
        }
        // The parser takes any number of digits.
        let fraction = text.split_once('.').map_or("", |(_, rest)| rest);
        if fraction.bytes().take_while(u8::is_ascii_digit).count() > FRACTION_DIGITS_MAX {
            return None;
        }
        let time = Self(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros());
        (Self::MIN..=Self::MAX).contains(&time).then_some(time)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Lists show several times per row, so this is written out instead of going through a format string.
        let clamped = self.0.clamp(Self::MIN.0, Self::MAX.0);
        let (days, micros) = (clamped.div_euclid(86_400_000_000), clamped.rem_euclid(86_400_000_000));
        let (year, month, day) = civil(days);
        let (seconds, millis) = (micros / 1_000_000, micros / 1_000 % 1_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar: eras of 400 years, years
/// that begin in March so that the leap day is the last.
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_with_three_digits_and_read_with_any_offset() {
        for (text, want) in [
            ("2026-03-01T09:30:00Z", Some("2026-03-01T09:30:00.000Z")),
            ("2026-03-01T09:30:00+02:00", Some("2026-03-01T07:30:00.000Z")),
            ("2026-03-01T09:30:00.123456789Z", Some("2026-03-01T09:30:00.123Z")),
            ("2026-03-01T09:30:00.1234567890Z", None),
            ("2026-03-01T09:30:00.1234567891+02:00", None),
            ("2026-03-01T09:30:00", None),
            ("2026-03-01 09:30:00Z", None),
            ("2026-03-01", None),
            ("9999-12-31T23:59:59.999Z", Some("9999-12-31T23:59:59.999Z")),
            ("9999-12-31T23:59:59-12:00", None),
            ("0001-01-01T00:00:00+01:00", None),
            ("", None),
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text).map(|t| t.to_string()).as_deref(), want, "{text}");
        }
        // Every 37 hours over 30 centuries, against the library.
        for n in -10_000_i64..700_000 {
            let micros = n * 37 * 3_600_000_000 + n.rem_euclid(7) * 1_234_567;
            let time = chrono::DateTime::from_timestamp_micros(micros).expect("within range");
            assert_eq!(
                Timestamp::from_micros(micros).to_string(),
                time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
            );
        }
        assert_eq!(Timestamp::from_seconds(i64::MIN).to_string(), "0001-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_seconds(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }
}
