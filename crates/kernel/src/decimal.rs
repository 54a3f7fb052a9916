use std::fmt;
use std::str::FromStr;

use crate::{Text, text};

/// An exact decimal with `SCALE` digits after the point, kept as a count of its smallest unit: `Decimal<2>` of
/// `12.34` is 1234. On the wire a string, because JSON readers turn numbers into binary floats.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Decimal<const SCALE: u32>(i64);

impl<const SCALE: u32> Decimal<SCALE> {
    /// From a count of the smallest unit.
    pub const fn from_minor(minor: i64) -> Self {
        Self(minor)
    }

    /// The count of the smallest unit.
    pub const fn as_minor(self) -> i64 {
        self.0
    }
}

impl<const SCALE: u32> fmt::Display for Decimal<SCALE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10u64.pow(SCALE);
        let sign = if self.0 < 0 { "-" } else { "" };
        let size = self.0.unsigned_abs();
        if SCALE == 0 {
            return write!(f, "{sign}{size}");
        }
        write!(f, "{sign}{}.{:0width$}", size / unit, size % unit, width = SCALE as usize)
    }
}

impl<const SCALE: u32> fmt::Debug for Decimal<SCALE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a decimal of this scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecimalError {
    scale: u32,
}

impl DecimalError {
    /// What a decimal looks like, for the caller.
    pub fn text(&self) -> Text {
        text!("a decimal here has at most {scale} digits after the point and 18 in all", scale = self.scale)
    }
}

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
    }
}

impl std::error::Error for DecimalError {}

impl<const SCALE: u32> FromStr for Decimal<SCALE> {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let error = DecimalError { scale: SCALE };
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, part) = digits.split_once('.').map_or((digits, None), |(w, p)| (w, Some(p)));
        let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let part_length = part.map_or(0, str::len);
        if !is_number(whole)
            || part.is_some_and(|p| !is_number(p))
            || part_length > SCALE as usize
            || (whole.len() > 1 && whole.starts_with('0'))
            || whole.len() + SCALE as usize > 18
        {
            return Err(error);
        }
        let mut minor: i64 = 0;
        for b in whole.bytes().chain(part.unwrap_or("").bytes()) {
            minor = minor * 10 + i64::from(b - b'0');
        }
        minor *= 10i64.pow(SCALE - part_length as u32);
        Ok(Self(if negative { -minor } else { minor }))
    }
}

impl<const SCALE: u32> serde::Serialize for Decimal<SCALE> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const SCALE: u32> serde::Deserialize<'de> for Decimal<SCALE> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl<const SCALE: u32> schemars::JsonSchema for Decimal<SCALE> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Decimal{SCALE}").into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let pattern = match SCALE {
            0 => "^-?(0|[1-9][0-9]{0,17})$".to_owned(),
            _ => format!("^-?(0|[1-9][0-9]{{0,{}}})(\\.[0-9]{{1,{SCALE}}})?$", 17u32.saturating_sub(SCALE)),
        };
        schemars::json_schema!({ "type": "string", "pattern": pattern })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_exact() {
        for (text, minor, printed) in [
            ("12.34", 1234, "12.34"),
            ("12.3", 1230, "12.30"),
            ("-0.05", -5, "-0.05"),
            ("0", 0, "0.00"),
            ("9999999999999999.99", 999_999_999_999_999_999, "9999999999999999.99"),
        ] {
            let value: Decimal<2> = text.parse().unwrap();
            assert_eq!((value.as_minor(), value.to_string().as_str()), (minor, printed));
        }
        for text in ["", "-", ".", "1.", ".5", "1.234", "01", "1e3", " 1", "+1", "10000000000000000"] {
            assert!(text.parse::<Decimal<2>>().is_err(), "{text}");
        }
    }
}
