use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

/// A moment as text, with where it ends: an answer holds two for each row, so they are put together without `fmt`.
struct Written([u8; Written::MOST], usize);

impl Written {
    /// `9999-12-31T23:59:59.999999Z`
    const MOST: usize = 27;

    fn of(time: Time) -> Option<Self> {
        let moment = EPOCH.checked_add(SignedDuration::from_micros(time.0)).ok()?;
        let micros = time.0.rem_euclid(1_000_000);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let mut put = |from: usize, to: usize, mut number: i64| {
            for at in (from..to).rev() {
                text[at] = b'0' + number.rem_euclid(10) as u8;
                number /= 10;
            }
        };
        put(0, 4, moment.year().into());
        put(5, 7, moment.month().into());
        put(8, 10, moment.day().into());
        put(11, 13, moment.hour().into());
        put(14, 16, moment.minute().into());
        put(17, 19, moment.second().into());
        put(20, 26, micros);
        if micros != 0 {
            return Some(Self(text, Self::MOST));
        }
        text[19] = b'Z';
        Some(Self(text, 20))
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0[..self.1]).unwrap_or_default()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Written::of(*self).ok_or(fmt::Error)?.as_str())
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
    let seconds = date_time.duration_since(EPOCH).as_secs() - offset_minutes * 60;
    // Leap seconds end a day of UTC, and stand nowhere else (RFC 3339 section 5.7).
    let is_possible = second < 60 || seconds.rem_euclid(86_400) == 86_399;
    is_possible.then_some(seconds * 1_000_000 + micros)
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Written::of(*self).ok_or_else(|| serde::ser::Error::custom("a moment that cannot be written"))?;
        serializer.serialize_str(text.as_str())
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
    System(Arc<Steady>),
    Fake(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock, except that it never goes back: what has expired must not come back to life, and ids must go
    /// on rising. When the machine's clock is set back, this one and its clones go on from where they were, a tenth more
    /// slowly, until that one has caught up. A new process knows nothing of it until [`Clock::not_before`] is called.
    pub fn system() -> Self {
        Self(Source::System(Arc::new(Steady::new())))
    }

    /// A clock that stands still at `start` until it is moved.
    pub fn fake(start: Time) -> Self {
        Self(Source::Fake(Arc::new(AtomicI64::new(start.0))))
    }

    /// The present moment.
    pub fn now(&self) -> Time {
        match &self.0 {
            Source::System(steady) => Time::from_micros(steady.now()),
            Source::Fake(at) => Time(at.load(Ordering::SeqCst)),
        }
    }

    /// From now on it is at least this late, as when the machine's clock had been set back: what was written down before
    /// this process began has happened.
    pub fn not_before(&self, time: Time) {
        match &self.0 {
            Source::System(steady) => steady.not_before(time.0),
            Source::Fake(at) => {
                at.fetch_max(time.0, Ordering::SeqCst);
            }
        }
    }

    /// Moves a fake clock forward; the machine's clock does not move.
    pub fn advance(&self, span: Duration) {
        if let Source::Fake(at) = &self.0 {
            at.fetch_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
}

/// Keeps a clock that is set back from going back. The machine's other clock, which only counts from the start, tells how
/// much time has really passed: between the two lies an offset that stays the same until someone sets the time.
#[derive(Debug)]
struct Steady {
    start: Instant,
    /// The offset this clock goes by, in microseconds.
    offset: AtomicI64,
    /// The wall is behind, and when the clock was last held back for it, in microseconds since the start.
    behind: Mutex<Option<i64>>,
    is_behind: AtomicBool,
}

/// Offsets this close are the same: the two clocks are read one after the other. Microseconds.
const NOISE: i64 = 1000;
/// How much more slowly a clock goes that has to wait: a tenth.
const SLOWER: i64 = 10;

impl Steady {
    fn new() -> Self {
        let steady = Self {
            start: Instant::now(),
            offset: AtomicI64::new(0),
            behind: Mutex::new(None),
            is_behind: AtomicBool::new(false),
        };
        let (wall, passed) = steady.read();
        steady.offset.store(wall.saturating_sub(passed), Ordering::Release);
        steady
    }

    /// Both clocks, in microseconds.
    fn read(&self) -> (i64, i64) {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        (micros(wall), micros(self.start.elapsed()))
    }

    fn now(&self) -> i64 {
        let (wall, passed) = self.read();
        self.judge(wall, passed)
    }

    fn not_before(&self, least: i64) {
        let (_, passed) = self.read();
        // The offset grows under the lock alone, or two would undo each other.
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = least.saturating_sub(passed);
        if offset > self.offset.load(Ordering::Acquire) {
            *behind = Some(passed);
            self.is_behind.store(true, Ordering::Release);
            self.offset.store(offset, Ordering::Release);
        }
    }

    /// The time, from what the wall says and how much has passed.
    fn judge(&self, wall: i64, passed: i64) -> i64 {
        let (seen, known) = (wall.saturating_sub(passed), self.offset.load(Ordering::Acquire));
        // The common case takes no lock and writes nothing: cores would wait for each other.
        if seen.abs_diff(known) <= NOISE as u64 && !self.is_behind.load(Ordering::Acquire) {
            return passed.saturating_add(known.max(seen));
        }
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.offset.load(Ordering::Acquire);
        let offset = if seen.saturating_add(NOISE) >= known {
            *behind = None;
            known.max(seen)
        } else {
            let since = behind.map_or(passed, |since| since.max(0));
            let lost = (passed - since).max(0) / SLOWER;
            // What is too little to be lost yet counts on.
            *behind = Some(if lost > 0 { passed } else { since });
            known - lost
        };
        self.is_behind.store(behind.is_some(), Ordering::Release);
        self.offset.store(offset, Ordering::Release);
        passed.saturating_add(offset)
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
            ("2024-03-01T08:59:60.5+09:00", "2024-02-29T23:59:59.500000Z"),
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
            "2026-11-22T09:30:60Z",
            "2026-11-22T23:59:60+09:00",
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

    const SECOND: i64 = 1_000_000;

    /// Asks every second, with a wall that is so far from the true time.
    fn run(steady: &Steady, seconds: std::ops::Range<i64>, ahead: i64) -> Vec<i64> {
        let at = |second: i64| steady.judge(1_000_000 * SECOND + second * SECOND + ahead, second * SECOND);
        seconds.map(at).collect()
    }

    #[test]
    fn a_clock_that_is_set_back_goes_on_more_slowly_until_the_machines_has_caught_up() {
        let steady = Steady::new();
        steady.offset.store(1_000_000 * SECOND, Ordering::SeqCst);
        let mut told = run(&steady, 0..100, 0);
        assert_eq!(told.last(), Some(&(1_000_099 * SECOND)));
        told.extend(run(&steady, 100..40_000, -3600 * SECOND));
        assert!(told.windows(2).all(|two| two[0] < two[1]), "it never goes back, nor stands still");
        assert_eq!(told[1000], 1_001_000 * SECOND - 90 * SECOND, "after a quarter of an hour, a tenth of it is lost");
        assert_eq!(told[36_000], 1_036_000 * SECOND - 3590 * SECOND);
        let caught_up = 1_039_999 * SECOND - 3600 * SECOND;
        assert!((told[39_999] - caught_up).abs() <= SECOND / 10, "{} {caught_up}", told[39_999]);
        assert!(!steady.is_behind.load(Ordering::SeqCst) || told[39_999] > caught_up);
    }

    #[test]
    fn a_clock_that_is_told_what_has_happened_goes_on_from_there() {
        let clock = Clock::system();
        let (now, hour) = (clock.now(), Duration::from_secs(3600));
        clock.not_before(now.minus(hour));
        assert!(clock.now() < now.plus(hour), "what is past changes nothing");
        clock.not_before(now.plus(hour));
        let told: Vec<_> = (0..1000).map(|_| clock.now()).collect();
        assert!(told[0] >= now.plus(hour) && told[999] < now.plus(2 * hour));
        assert!(told.windows(2).all(|two| two[0] <= two[1]));
        let fake = Clock::fake(now);
        fake.not_before(now.minus(hour));
        assert_eq!(fake.now(), now);
        fake.not_before(now.plus(hour));
        assert_eq!(fake.now(), now.plus(hour));
    }

    #[test]
    fn a_clock_that_is_set_forward_follows_at_once() {
        let steady = Steady::new();
        steady.offset.store(1_000_000 * SECOND, Ordering::SeqCst);
        run(&steady, 0..10, 0);
        assert_eq!(run(&steady, 10..11, 86_400 * SECOND), [1_086_410 * SECOND]);
        // And where it was set back before.
        let back = run(&steady, 11..20, 0);
        assert!(back[0] > 1_086_410 * SECOND);
        assert_eq!(run(&steady, 20..21, 90_000 * SECOND), [1_090_020 * SECOND]);
        assert!(!steady.is_behind.load(Ordering::SeqCst));
    }

    #[test]
    fn reading_one_clock_late_changes_nothing() {
        let steady = Steady::new();
        steady.offset.store(1_000_000 * SECOND, Ordering::SeqCst);
        let mut last = 0;
        for second in 1..1000 {
            // The thread slept between the two: the wall seems to be behind.
            let late = if second % 7 == 0 { 50_000 } else { 5 };
            let told = steady.judge(1_000_000 * SECOND + second * SECOND - late, second * SECOND);
            assert!(told > last && (told - 1_000_000 * SECOND - second * SECOND).abs() <= NOISE, "{second}: {told}");
            last = told;
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
