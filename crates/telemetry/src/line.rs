//! One event as one line: for people, or one JSON object. Nothing in an event can begin a second line or steer a
//! terminal: whatever passes through here is escaped.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use kernel::Time;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::Format;

/// The time at the beginning of each line. Within one second only its fraction is rewritten.
#[derive(Debug, Default)]
pub(crate) struct Stamp {
    second: Option<i64>,
    /// `2026-11-22T09:30:00`
    prefix: String,
}

impl Stamp {
    fn write(&mut self, now: SystemTime, out: &mut Vec<u8>) {
        let micros = match now.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            // A clock before 1970 is wrong; the line is written all the same.
            Err(_) => 0,
        };
        let second = micros.div_euclid(1_000_000);
        if self.second != Some(second) {
            self.second = Some(second);
            self.prefix = Time::from_micros(second.saturating_mul(1_000_000)).to_string();
            self.prefix.truncate(self.prefix.len() - 1);
        }
        out.extend_from_slice(self.prefix.as_bytes());
        out.push(b'.');
        let mut fraction = micros.rem_euclid(1_000_000);
        let mut digits = [b'0'; 6];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (fraction % 10) as u8;
            fraction /= 10;
        }
        out.extend_from_slice(&digits);
        out.push(b'Z');
    }
}

/// Appends `event` and a line end.
pub(crate) fn write(event: &Event<'_>, format: Format, now: SystemTime, stamp: &mut Stamp, out: &mut Vec<u8>) {
    let (level, target) = (event.metadata().level(), event.metadata().target());
    match format {
        Format::Text => {
            stamp.write(now, out);
            out.push(b' ');
            out.extend_from_slice(padded(level).as_bytes());
            // What happened comes first, whatever order the fields have.
            event.record(&mut Text { out, part: Part::Message });
            event.record(&mut Text { out, part: Part::Fields });
            out.push(b'\n');
        }
        Format::Json => {
            out.extend_from_slice(b"{\"timestamp\":\"");
            stamp.write(now, out);
            out.extend_from_slice(b"\",\"level\":\"");
            out.extend_from_slice(level.as_str().as_bytes());
            out.push(b'"');
            event.record(&mut Json { out });
            out.extend_from_slice(b",\"target\":\"");
            escape_json(target, out);
            out.extend_from_slice(b"\"}\n");
        }
    }
}

fn padded(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "ERROR",
        Level::WARN => " WARN",
        Level::INFO => " INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

const MESSAGE: &str = "message";

enum Part {
    Message,
    Fields,
}

/// ` what happened key=value other="a text"`
struct Text<'a> {
    out: &'a mut Vec<u8>,
    part: Part,
}

impl Text<'_> {
    /// Begins a field, if its turn has come.
    fn begin(&mut self, field: &Field) -> bool {
        let is_message = field.name() == MESSAGE;
        if is_message != matches!(self.part, Part::Message) {
            return false;
        }
        self.out.push(b' ');
        if !is_message {
            self.out.extend_from_slice(field.name().as_bytes());
            self.out.push(b'=');
        }
        true
    }
}

impl Visit for Text<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if self.begin(field) {
            self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            self.record_debug(field, &format_args!("{value}"));
        } else if !is_plain(value) {
            self.record_debug(field, &value);
        } else if self.begin(field) {
            self.out.push(b'"');
            self.out.extend_from_slice(value.as_bytes());
            self.out.push(b'"');
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_debug(field, &Chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.begin(field) {
            // Writing to memory fails only where the value's own `fmt` does; the line then ends there.
            let _ = write!(Plain(self.out), "{value:?}");
        }
    }
}

/// `,"key":value`
struct Json<'a> {
    out: &'a mut Vec<u8>,
}

impl Json<'_> {
    fn key(&mut self, field: &Field) {
        self.out.extend_from_slice(b",\"");
        escape_json(field.name(), self.out);
        self.out.extend_from_slice(b"\":");
    }

    fn bare(&mut self, field: &Field, value: &str) {
        self.key(field);
        self.out.extend_from_slice(value.as_bytes());
    }
}

impl Visit for Json<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, itoa::Buffer::new().format(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, itoa::Buffer::new().format(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for what is not finite.
        if value.is_finite() { self.bare(field, &format!("{value:?}")) } else { self.bare(field, "null") }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, if value { "true" } else { "false" });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.key(field);
        self.out.push(b'"');
        escape_json(value, self.out);
        self.out.push(b'"');
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_debug(field, &Chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.key(field);
        self.out.push(b'"');
        let _ = write!(InString(self.out), "{value:?}");
        self.out.push(b'"');
    }
}

/// An error and everything behind it.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

/// Text outside quotes, for people.
struct Plain<'a>(&'a mut Vec<u8>);

impl fmt::Write for Plain<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if is_plain(text) {
            self.0.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        for c in text.chars() {
            if steers(c) && c != '\t' {
                self.0.extend(c.escape_default().map(|c| c as u8));
            } else {
                self.0.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        Ok(())
    }
}

/// Text inside a JSON string.
struct InString<'a>(&'a mut Vec<u8>);

impl fmt::Write for InString<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape_json(text, self.0);
        Ok(())
    }
}

/// Whether a character could begin a new line or steer a terminal.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a text is the same in quotes: printable ASCII without a quote or a backslash.
fn is_plain(text: &str) -> bool {
    // Every byte is looked at, without a way out in between: so the compiler takes many at a time.
    text.bytes().fold(true, |plain, b| plain & (b' '..0x7f).contains(&b) & (b != b'"') & (b != b'\\'))
}

fn escape_json(text: &str, out: &mut Vec<u8>) {
    if is_plain(text) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            // All of these are in the basic plane: one escape is enough (RFC 8259 section 7).
            c if steers(c) => {
                let _ = write!(Plain(out), "\\u{:04x}", u32::from(c));
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stamp_is_rfc_3339_with_six_decimals() {
        let mut stamp = Stamp::default();
        let mut at = |micros: u64| {
            let mut out = Vec::new();
            stamp.write(UNIX_EPOCH + Duration::from_micros(micros), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(at(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(1_795_339_800_000_042), "2026-11-22T09:30:00.000042Z");
        assert_eq!(at(1_795_339_800_999_999), "2026-11-22T09:30:00.999999Z");
        assert_eq!(at(1_795_339_799_000_001), "2026-11-22T09:29:59.000001Z");
    }

    #[test]
    fn json_strings_come_back_as_they_were() {
        for text in ["plain", "a \"quoted\" \\ one", "\u{0}\u{1f}\u{7f}\u{85}\u{2028}\n\r\t", "한국어 ☃ 🦀"] {
            let mut out = vec![b'"'];
            escape_json(text, &mut out);
            out.push(b'"');
            let shown = String::from_utf8(out).unwrap();
            assert!(!shown.chars().any(steers), "{shown:?}");
            assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }
}
