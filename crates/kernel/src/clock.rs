use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::SignedDuration;
use jiff::civil::DateTime;

use crate::{Text, text};

/// A moment: microseconds since 1970-01-01T00:00:00Z. On the wire RFC 3339 in UTC with `Z`, always six decimals
/// when not whole seconds, so that equal moments have equal text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(i64);

impl Time {
    /// The earliest moment that can be written, 0001-01-01T00:00:00Z: what PostgreSQL, RFC 3339 and SQLite all hold.
    pub const MIN: Time = Time(-62_135_596_800_000_000);
    /// The latest moment that can be written, 9999-12-31T23:59:59.999999Z: RFC 3339 has four digits for the year.
    pub const MAX: Time = Time(253_402_300_799_999_999);

    /// The moment this many microseconds after the epoch, held within what can be written.
    pub const fn from_micros(micros: i64) -> Self {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, as JWT's `NumericDate` wants them (RFC 7519 section 2).
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This much later.
    pub fn plus(self, span: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This much earlier.
    pub fn minus(self, span: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// 1970-01-01T00:00:00. jiff's `Timestamp` ends a day early, so that every offset fits; its civil times do not.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = EPOCH.checked_add(SignedDuration::from_micros(self.0)).map_err(|_| fmt::Error)?;
        let (date, time) = (moment.date(), moment.time());
        write!(f, "{date}T{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())?;
        match self.0.rem_euclid(1_000_000) {
            0 => f.write_str("Z"),
            micros => write!(f, ".{micros:06}Z"),
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a moment in RFC 3339 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeError;

impl TimeError {
    /// What a time looks like, for the caller.
    pub fn text(&self) -> Text {
        text!("a time is written like 2026-11-22T09:30:00Z (RFC 3339, at most microseconds)")
    }
}

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
    }
}

impl std::error::Error for TimeError {}

impl FromStr for Time {
    type Err = TimeError;

    /// Reads RFC 3339 (section 5.6) with any offset. Finer than a microsecond is refused: it could not be kept. A leap
    /// second is read as the second before it.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        read(text.as_bytes()).filter(|micros| (Self::MIN.0..=Self::MAX.0).contains(micros)).map(Self).ok_or(TimeError)
    }
}

/// The microseconds since the epoch that an RFC 3339 text names.
fn read(text: &[u8]) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
    };
    let sign_at = |at: usize, signs: &[u8]| text.get(at).is_some_and(|b| signs.contains(b));
    let is_framed =
        sign_at(4, b"-") && sign_at(7, b"-") && sign_at(10, b"Tt") && sign_at(13, b":") && sign_at(16, b":");
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !is_framed || second > 60 {
        return None;
    }
    let mut at = 19;
    let mut micros = 0;
    if sign_at(at, b".") {
        let digits = text[20..].iter().take_while(|b| b.is_ascii_digit()).count();
        // Nine digits are read, and those past the sixth must be zeros.
        if !(1..=9).contains(&digits) {
            return None;
        }
        let fraction = number(20, 20 + digits)? * 10i64.pow(9 - digits as u32);
        if fraction % 1000 != 0 {
            return None;
        }
        micros = fraction / 1000;
        at = 20 + digits;
    }
    let offset_minutes = match text.get(at..)? {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            let size = (hours <= 23 && minutes <= 59).then_some(hours * 60 + minutes)?;
            if *sign == b'-' { -size } else { size }
        }
        _ => return None,
    };
    let small = |n: i64| i8::try_from(n).ok();
    let date_time = DateTime::new(
        i16::try_from(year).ok()?,
        small(month)?,
        small(day)?,
        small(hour)?,
        small(minute)?,
        small(second.min(59))?,
        0,
    )
    .ok()?;
    let since = date_time.duration_since(EPOCH);
    Some((since.as_secs() - offset_minutes * 60) * 1_000_000 + micros)
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// Where the time comes from. A value that is handed in, so that a test can move it.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Fake(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `start` until it is moved.
    pub fn fake(start: Time) -> Self {
        Self(Source::Fake(Arc::new(AtomicI64::new(start.0))))
    }

    /// The present moment.
    pub fn now(&self) -> Time {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
            Source::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Time::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Source::Fake(at) => Time(at.load(Ordering::SeqCst)),
        }
    }

    /// Moves a fake clock forward; the machine's clock does not move.
    pub fn advance(&self, span: Duration) {
        if let Source::Fake(at) = &self.0 {
            at.fetch_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_and_prints_rfc3339() {
        for (text, printed) in [
            ("2026-11-22T09:30:00Z", "2026-11-22T09:30:00Z"),
            ("2026-11-22T09:30:00.5Z", "2026-11-22T09:30:00.500000Z"),
            ("2026-11-22T18:30:00+09:00", "2026-11-22T09:30:00Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
            ("2024-02-29T23:59:60z", "2024-02-29T23:59:59Z"),
            ("2026-01-01t00:30:00.25-01:30", "2026-01-01T02:00:00.250000Z"),
        ] {
            assert_eq!(text.parse::<Time>().unwrap().to_string(), printed);
        }
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T09:30Z",
            "2026-11-22 09:30:00Z",
            "2026-11-22T09:30:00",
            "2026-13-22T09:30:00Z",
            "20261122T093000Z",
            "2026-11-22T09:30:00.1234567Z",
            "-002026-11-22T09:30:00Z",
            "2026-11-22T09:30:00+09:00[Asia/Seoul]",
            "9999-12-31T23:59:59-01:00",
            "0001-01-01T00:00:00+00:01",
            "2026-11-22T09:30:00+24:00",
            "2026-11-22T09:30:61Z",
            "2026-11-22T09:30:00.Z",
            "2026-11-22T09:30:00.0000000001Z",
            "2026-11-22T09:30:00.0000000000000000000000000000000000000001Z",
            "2025-02-29T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "２026-11-22T09:30:00Z",
        ] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_bounds_can_be_written_and_read() {
        for time in [Time::MIN, Time::MAX] {
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        assert_eq!(Time::from_micros(i64::MAX), Time::MAX);
        assert_eq!(Time::MAX.plus(Duration::MAX), Time::MAX);
    }
}
