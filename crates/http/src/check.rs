//! The rules an `#[input]` type states with `#[check(…)]`. The same attribute becomes the field's JSON Schema, so a
//! rule is written once. Lengths count characters, as JSON Schema does (not bytes, as `str::len` does).

use std::collections::BTreeMap;

use kernel::{Argument, Decimal, Faults, Id, IdKind, Json, Place, Secret, Text, Time, text};
use serde_json::Value;

use crate::Change;

/// A type whose values can be judged beyond their shape. `#[input]` derives it; every field's type must have it, so a
/// nested type cannot be forgotten.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of an input: nothing says how to check it",
    label = "not an input type",
    note = "put #[input] on `{Self}`, or use a type that has `Check`"
)]
pub trait Check {
    /// Adds what is wrong with the value that stands at `pointer`.
    fn check(&self, pointer: &mut Pointer, faults: &mut Faults);
}

/// A type made by `#[input]`: it refuses unknown fields, has a schema, and can be checked.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an input type",
    label = "not an input type",
    note = "put #[input] on `{Self}`: it makes it readable, checked and described"
)]
pub trait InputType: serde::de::DeserializeOwned + schemars::JsonSchema + Check + Send + 'static {}

/// A JSON pointer (RFC 6901) that grows and shrinks while a value is walked through.
#[derive(Debug)]
pub struct Pointer {
    place: Place,
    text: String,
}

impl Pointer {
    /// The whole of a body, or of the query.
    pub const fn root(place: Place) -> Self {
        Self { place, text: String::new() }
    }

    /// Does `work` one field further in.
    pub fn at(&mut self, name: &str, work: impl FnOnce(&mut Self)) {
        let length = self.text.len();
        push_token(&mut self.text, name);
        work(self);
        self.text.truncate(length);
    }

    /// Adds a fault here.
    pub fn fault(&self, faults: &mut Faults, code: &'static str, message: Text) {
        faults.add(self.place, self.text.clone(), code, message);
    }
}

/// Appends `/name`, escaped (RFC 6901 section 3).
pub(crate) fn push_token(text: &mut String, name: &str) {
    text.push('/');
    if name.contains(['~', '/']) {
        text.push_str(&name.replace('~', "~0").replace('/', "~1"));
    } else {
        text.push_str(name);
    }
}

/// What is said of a text that neither database keeps alike.
pub(crate) const NUL: Text = text!("must not contain the NUL character");

impl Check for str {
    fn check(&self, pointer: &mut Pointer, faults: &mut Faults) {
        // PostgreSQL cannot keep it, so neither database may.
        if self.as_bytes().contains(&0) {
            pointer.fault(faults, "nul_character", NUL);
        }
    }
}

impl Check for String {
    fn check(&self, pointer: &mut Pointer, faults: &mut Faults) {
        self.as_str().check(pointer, faults);
    }
}

impl<T: Check> Check for Option<T> {
    fn check(&self, pointer: &mut Pointer, faults: &mut Faults) {
        if let Some(value) = self {
            value.check(pointer, faults);
        }
    }
}

impl<T: Check> Check for Change<T> {
    fn check(&self, pointer: &mut Pointer, faults: &mut Faults) {
        if let Some(value) = self.as_option() {
            value.check(pointer, faults);
        }
    }
}

impl<T: Check> Check for Vec<T> {
    fn check(&self, pointer: &mut Pointer, faults: &mut Faults) {
        for (i, item) in self.iter().enumerate() {
            pointer.at(&i.to_string(), |p| item.check(p, faults));
        }
    }
}

impl<T: Check> Check for BTreeMap<String, T> {
    fn check(&self, pointer: &mut Pointer, faults: &mut Faults) {
        for (name, value) in self {
            name.check(pointer, faults);
            pointer.at(name, |p| value.check(p, faults));
        }
    }
}

impl<T: Check> Check for Box<T> {
    fn check(&self, pointer: &mut Pointer, faults: &mut Faults) {
        (**self).check(pointer, faults);
    }
}

impl<T: Check> Check for Secret<T> {
    fn check(&self, pointer: &mut Pointer, faults: &mut Faults) {
        self.expose().check(pointer, faults);
    }
}

impl Check for Json {
    fn check(&self, pointer: &mut Pointer, faults: &mut Faults) {
        fn has_nul(value: &Value) -> bool {
            match value {
                Value::String(s) => s.contains('\0'),
                Value::Array(items) => items.iter().any(has_nul),
                Value::Object(fields) => fields.iter().any(|(k, v)| k.contains('\0') || has_nul(v)),
                _ => false,
            }
        }
        if has_nul(self.value()) {
            pointer.fault(faults, "nul_character", NUL);
        }
    }
}

macro_rules! nothing_to_check {
    ($($t:ty),*) => {
        $(impl Check for $t {
            fn check(&self, _: &mut Pointer, _: &mut Faults) {}
        })*
    };
}
nothing_to_check!(bool, i8, i16, i32, i64, u8, u16, u32, u64, f64, Time, kernel::Role, kernel::Blob);

impl<K: IdKind> Check for Id<K> {
    fn check(&self, _: &mut Pointer, _: &mut Faults) {}
}

impl<const SCALE: u32> Check for Decimal<SCALE> {
    fn check(&self, _: &mut Pointer, _: &mut Faults) {}
}

pub(crate) const CHARACTERS: Text = text!("characters");
pub(crate) const ITEMS: Text = text!("items");

/// What has a length: text in characters, lists in items. An absent option has none.
pub trait Length {
    /// The length, where there is a value.
    fn length(&self) -> Option<usize>;
    /// What is counted.
    const UNIT: Text;
}

impl Length for String {
    fn length(&self) -> Option<usize> {
        Some(self.chars().count())
    }
    const UNIT: Text = CHARACTERS;
}

impl<T> Length for Vec<T> {
    fn length(&self) -> Option<usize> {
        Some(self.len())
    }
    const UNIT: Text = ITEMS;
}

impl<T: Length> Length for Option<T> {
    fn length(&self) -> Option<usize> {
        self.as_ref().and_then(Length::length)
    }
    const UNIT: Text = T::UNIT;
}

impl<T: Length> Length for Secret<T> {
    fn length(&self) -> Option<usize> {
        self.expose().length()
    }
    const UNIT: Text = T::UNIT;
}

impl<T: Length> Length for Change<T> {
    fn length(&self) -> Option<usize> {
        self.as_option().and_then(Length::length)
    }
    const UNIT: Text = T::UNIT;
}

impl Length for kernel::Blob {
    fn length(&self) -> Option<usize> {
        Some(self.0.len())
    }
    const UNIT: Text = text!("bytes");
}

/// The text of a value, where it has one.
pub trait Textual {
    /// The text, where there is a value.
    fn text(&self) -> Option<&str>;
}

impl Textual for String {
    fn text(&self) -> Option<&str> {
        Some(self)
    }
}

impl<T: Textual> Textual for Option<T> {
    fn text(&self) -> Option<&str> {
        self.as_ref().and_then(Textual::text)
    }
}

impl<T: Textual> Textual for Change<T> {
    fn text(&self) -> Option<&str> {
        self.as_option().and_then(Textual::text)
    }
}

/// The number in a value, where it has one.
pub trait Numeric {
    /// The number, where there is a value.
    fn number(&self) -> Option<f64>;
}

macro_rules! numeric {
    ($($t:ty),*) => {
        $(impl Numeric for $t {
            fn number(&self) -> Option<f64> {
                Some(*self as f64)
            }
        })*
    };
}
numeric!(i8, i16, i32, i64, u8, u16, u32, u64, f64);

impl<T: Numeric> Numeric for Option<T> {
    fn number(&self) -> Option<f64> {
        self.as_ref().and_then(Numeric::number)
    }
}

impl<T: Numeric> Numeric for Change<T> {
    fn number(&self) -> Option<f64> {
        self.as_option().and_then(Numeric::number)
    }
}

/// What is said of a length; `None` where there is no bound to say.
pub(crate) fn length_text(min: Option<u64>, max: Option<u64>, unit: Text) -> Option<Text> {
    Some(match (min, max) {
        (Some(min), Some(max)) => text!("must have {min} to {max} {unit}", min, max, unit),
        (Some(min), None) => text!("must have at least {min} {unit}", min, unit),
        (None, Some(max)) => text!("must have at most {max} {unit}", max, unit),
        (None, None) => return None,
    })
}

/// What is said of a number's size; `None` where there is no bound to say.
pub(crate) fn range_text<N: Into<Argument>>(min: Option<N>, max: Option<N>) -> Option<Text> {
    Some(match (min, max) {
        (Some(min), Some(max)) => text!("must be {min} to {max}", min, max),
        (Some(min), None) => text!("must be at least {min}", min),
        (None, Some(max)) => text!("must be at most {max}", max),
        (None, None) => return None,
    })
}

/// `#[check(length(min = …, max = …))]`
pub fn length<T: Length>(value: &T, min: Option<usize>, max: Option<usize>, pointer: &Pointer, faults: &mut Faults) {
    let Some(length) = value.length() else { return };
    let is_outside = min.is_some_and(|min| length < min) || max.is_some_and(|max| length > max);
    let bound = |bound: Option<usize>| bound.map(|b| b as u64);
    if is_outside && let Some(text) = length_text(bound(min), bound(max), T::UNIT) {
        pointer.fault(faults, "length", text);
    }
}

/// `#[check(range(min = …, max = …))]`
pub fn range<T: Numeric>(value: &T, min: Option<f64>, max: Option<f64>, pointer: &Pointer, faults: &mut Faults) {
    let Some(number) = value.number() else { return };
    let is_outside = min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max);
    if is_outside && let Some(text) = range_text(min, max) {
        pointer.fault(faults, "range", text);
    }
}

pub(crate) const EMAIL: Text = text!("must be an e-mail address");

/// `#[check(email)]`: the same rule that the schema's `format: email` stands for in the slow path.
pub fn email<T: Textual>(value: &T, pointer: &Pointer, faults: &mut Faults) {
    if value.text().is_some_and(|text| !is_email(text)) {
        pointer.fault(faults, "email", EMAIL);
    }
}

/// An address that mail can be sent to, as the published `format: email` means it (RFC 5321 section 4.1.2): a plain
/// mailbox at a host, in ASCII. A host of other letters is written in its A-labels, `xn--…`.
pub(crate) fn is_email(text: &str) -> bool {
    text.len() <= 254
        && text.is_ascii()
        && email_address::EmailAddress::is_valid(text)
        && !text.contains([' ', '"', '(', '<', '['])
        && text.rsplit_once('@').is_some_and(|(_, host)| host.split('.').all(is_host_label))
}

/// A part of a host's name (RFC 5890 section 2.3.1). Whether what follows `xn--` stands for a word is left to the DNS.
fn is_host_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
        && (label.get(2..4) != Some("--") || label.starts_with("xn--"))
}

pub(crate) fn pattern_text(pattern: &str) -> Text {
    text!("must match {pattern}", pattern)
}

/// `#[check(pattern = "…")]`
pub fn pattern<T: Textual>(value: &T, regex: &regex::Regex, pointer: &Pointer, faults: &mut Faults) {
    if value.text().is_some_and(|text| !regex.is_match(text)) {
        pointer.fault(faults, "pattern", pattern_text(regex.as_str()));
    }
}

/// `#[check(with = path::to::rule)]`: a rule of one's own, whose error is the message.
pub fn with<T: ?Sized>(value: &T, rule: fn(&T) -> Result<(), Text>, pointer: &Pointer, faults: &mut Faults) {
    if let Err(message) = rule(value) {
        pointer.fault(faults, "rule", message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_escaped() {
        let mut pointer = Pointer::root(Place::Body);
        let mut faults = Faults::new();
        pointer.at("a/b~c", |p| p.at("0", |p| p.fault(&mut faults, "x", text!("y"))));
        assert_eq!(faults.into_sorted()[0].pointer, "/a~1b~0c/0");
    }

    #[test]
    fn lengths_count_characters() {
        let mut faults = Faults::new();
        length(&"가나다".to_owned(), Some(3), Some(3), &Pointer::root(Place::Body), &mut faults);
        assert!(faults.is_empty());
    }

    #[test]
    fn addresses() {
        let longest = format!("a@{}.com", "b".repeat(63));
        for good in [
            "a@example.com",
            "first.last+tag@sub.example.co.kr",
            "a`b@example.com",
            "a@b",
            "a@1.2-3.x",
            "a@xn--hy1b26ip8b.kr",
            &longest,
        ] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "a", "a@", "@b", "a b@c.d", "\"a b\"@c.d", "A <a@b.c>", "a@[127.0.0.1]", &"a".repeat(300)] {
            assert!(!is_email(bad), "{bad}");
        }
        // A mailbox may hold a backtick, a host may not; neither holds other letters than those of ASCII.
        let long = format!("a@{}.com", "b".repeat(64));
        for bad in
            ["a@exa`ple.com", "a@b_c.d", "a@-b.c", "a@b-.c", "a@b..c", "a@b.", "a@ab--c.d", "é@b.c", "a@é.c", &long]
        {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
