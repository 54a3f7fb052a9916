//! The rules an `#[input]` type states with `#[check(…)]`. The same attribute becomes the field's JSON Schema, so a
//! rule is written once. Lengths count characters, as JSON Schema does (not bytes, as `str::len` does).

use std::borrow::Cow;
use std::collections::BTreeMap;

use kernel::{
    Argument, Decimal, Id, IdKind, Json, RequestPart, Secret, Text, TextFault, TextProfile, Time, ValidationErrors,
    text,
};
use schemars::Schema;
use serde_json::{Map, Value};

use crate::PatchField;

/// A type whose values can be judged beyond their shape. `#[input]` derives it; every field's type must have it, so a
/// nested type cannot be forgotten.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of an input: nothing says how to check it",
    label = "not an input type",
    note = "put #[input] on `{Self}`, or use a type that has `Check`"
)]
pub trait Check {
    /// Brings the texts in it into the form that is kept ([`TextProfile::read`]), and adds what is wrong with the value,
    /// which stands at `pointer`. The profile is what the field says of its texts; a type whose fields say it themselves
    /// does not need it.
    fn check(&mut self, profile: TextProfile, pointer: &mut Pointer, errors: &mut ValidationErrors);
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
    place: RequestPart,
    text: String,
}

impl Pointer {
    /// The whole of a body, or of the query.
    pub const fn root(place: RequestPart) -> Self {
        Self { place, text: String::new() }
    }

    /// Does `work` one field further in.
    pub fn at(&mut self, name: &str, work: impl FnOnce(&mut Self)) {
        let length = self.text.len();
        push_token(&mut self.text, name);
        work(self);
        self.text.truncate(length);
    }

    /// Adds an error here.
    pub fn fault(&self, errors: &mut ValidationErrors, code: &'static str, message: Text) {
        if !errors.is_full() {
            errors.add(self.place, self.text.clone(), code, message);
        }
    }

    fn text_fault(&self, errors: &mut ValidationErrors, fault: TextFault) {
        self.fault(errors, fault.code(), fault.text());
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

impl Check for String {
    fn check(&mut self, profile: TextProfile, pointer: &mut Pointer, errors: &mut ValidationErrors) {
        match profile.read(self) {
            // What is borrowed is a part of it: all of it, where it is as long.
            Ok(kept) if kept.len() == self.len() && matches!(kept, Cow::Borrowed(_)) => {}
            Ok(kept) => *self = kept.into_owned(),
            Err(fault) => pointer.text_fault(errors, fault),
        }
    }
}

impl<T: Check> Check for Option<T> {
    fn check(&mut self, profile: TextProfile, pointer: &mut Pointer, errors: &mut ValidationErrors) {
        if let Some(value) = self {
            value.check(profile, pointer, errors);
        }
    }
}

impl<T: Check> Check for PatchField<T> {
    fn check(&mut self, profile: TextProfile, pointer: &mut Pointer, errors: &mut ValidationErrors) {
        if let PatchField::To(value) = self {
            value.check(profile, pointer, errors);
        }
    }
}

impl<T: Check> Check for Vec<T> {
    fn check(&mut self, profile: TextProfile, pointer: &mut Pointer, errors: &mut ValidationErrors) {
        for (i, item) in self.iter_mut().enumerate() {
            pointer.at(&i.to_string(), |p| item.check(profile, p, errors));
        }
    }
}

impl<T: Check> Check for BTreeMap<String, T> {
    fn check(&mut self, profile: TextProfile, pointer: &mut Pointer, errors: &mut ValidationErrors) {
        let mut renamed = Vec::new();
        for (name, value) in self.iter_mut() {
            match profile.read(name) {
                Ok(kept) if kept != name.as_str() => renamed.push((name.clone(), kept.into_owned())),
                Ok(_) => {}
                Err(fault) => pointer.text_fault(errors, fault),
            }
            pointer.at(name, |p| value.check(profile, p, errors));
        }
        for (sent, kept) in renamed {
            if self.contains_key(&kept) {
                pointer.at(&sent, |p| p.fault(errors, "repeated", text!("names `{name}` twice", name = kept)));
            } else if let Some(value) = self.remove(&sent) {
                self.insert(kept, value);
            }
        }
    }
}

impl<T: Check> Check for Box<T> {
    fn check(&mut self, profile: TextProfile, pointer: &mut Pointer, errors: &mut ValidationErrors) {
        (**self).check(profile, pointer, errors);
    }
}

/// The code that issued a secret compares it: it is never normalised here. (Passwords have a profile of their own, RFC
/// 8265's OpaqueString, which belongs to the code that hashes them.)
impl<T: AsRef<str>> Check for Secret<T> {
    fn check(&mut self, _: TextProfile, pointer: &mut Pointer, errors: &mut ValidationErrors) {
        if let Err(fault) = TextProfile::Opaque.read(self.expose().as_ref()) {
            pointer.text_fault(errors, fault);
        }
    }
}

/// Data of any shape is kept as it was sent, but for NUL.
impl Check for Json {
    fn check(&mut self, _: TextProfile, pointer: &mut Pointer, errors: &mut ValidationErrors) {
        fn has_nul(value: &Value) -> bool {
            match value {
                Value::String(s) => s.contains('\0'),
                Value::Array(items) => items.iter().any(has_nul),
                Value::Object(fields) => fields.iter().any(|(k, v)| k.contains('\0') || has_nul(v)),
                _ => false,
            }
        }
        if has_nul(self.value()) {
            pointer.text_fault(errors, TextFault::Nul);
        }
    }
}

macro_rules! nothing_to_check {
    ($($t:ty),*) => {
        $(impl Check for $t {
            fn check(&mut self, _: TextProfile, _: &mut Pointer, _: &mut ValidationErrors) {}
        })*
    };
}
nothing_to_check!(bool, i8, i16, i32, i64, u8, u16, u32, u64, f64, Time, kernel::Role, kernel::Blob);

impl<K: IdKind> Check for Id<K> {
    fn check(&mut self, _: TextProfile, _: &mut Pointer, _: &mut ValidationErrors) {}
}

impl<const SCALE: u32> Check for Decimal<SCALE> {
    fn check(&mut self, _: TextProfile, _: &mut Pointer, _: &mut ValidationErrors) {}
}

/// Writes a field's profile into its schema: into that of its text, or of the texts in its list or map. `#[input]` puts it
/// there.
#[doc(hidden)]
#[derive(Debug)]
pub struct Described(pub TextProfile);

impl schemars::transform::Transform for Described {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(schema) = schema.as_object_mut() {
            describe(schema, self.0);
        }
    }
}

fn describe(schema: &mut Map<String, Value>, profile: TextProfile) {
    let is_text = match schema.get("type") {
        Some(Value::String(kind)) => kind == "string",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
        _ => false,
    };
    // An address or a moment says more by its own format.
    let has_format = schema.get("format").is_some_and(|format| format != "password");
    if is_text && !has_format {
        if let Some(format) = profile.format() {
            schema.insert("format".to_owned(), format.into());
        }
        schema.entry("pattern").or_insert_with(|| profile.pattern().into());
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(Value::Object(inner)) = schema.get_mut(inner) {
            describe(inner, profile);
        }
    }
}

pub(crate) const CHARACTERS: Text = text!("characters");
pub(crate) const ITEMS: Text = text!("items");
pub(crate) const PARAMETERS: Text = text!("parameters");

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

impl<T: Length> Length for PatchField<T> {
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

impl<T: Textual> Textual for PatchField<T> {
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

impl<T: Numeric> Numeric for PatchField<T> {
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
pub fn length<T: Length>(
    value: &T,
    min: Option<usize>,
    max: Option<usize>,
    pointer: &Pointer,
    errors: &mut ValidationErrors,
) {
    let Some(length) = value.length() else { return };
    let is_outside = min.is_some_and(|min| length < min) || max.is_some_and(|max| length > max);
    let bound = |bound: Option<usize>| bound.map(|b| b as u64);
    if is_outside && let Some(text) = length_text(bound(min), bound(max), T::UNIT) {
        pointer.fault(errors, "length", text);
    }
}

/// `#[check(range(min = …, max = …))]`
pub fn range<T: Numeric>(
    value: &T,
    min: Option<f64>,
    max: Option<f64>,
    pointer: &Pointer,
    errors: &mut ValidationErrors,
) {
    let Some(number) = value.number() else { return };
    let is_outside = min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max);
    if is_outside && let Some(text) = range_text(min, max) {
        pointer.fault(errors, "range", text);
    }
}

pub(crate) const EMAIL: Text = text!("must be an e-mail address");

/// `#[check(email)]`: the same rule that the schema's `format: email` stands for in the slow path.
pub fn email<T: Textual>(value: &T, pointer: &Pointer, errors: &mut ValidationErrors) {
    if value.text().is_some_and(|text| !is_email(text)) {
        pointer.fault(errors, "email", EMAIL);
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
pub fn pattern<T: Textual>(value: &T, regex: &regex::Regex, pointer: &Pointer, errors: &mut ValidationErrors) {
    if value.text().is_some_and(|text| !regex.is_match(text)) {
        pointer.fault(errors, "pattern", pattern_text(regex.as_str()));
    }
}

/// `#[check(with = path::to::rule)]`: a rule of one's own, whose error is the message.
pub fn with<T: ?Sized>(value: &T, rule: fn(&T) -> Result<(), Text>, pointer: &Pointer, errors: &mut ValidationErrors) {
    if let Err(message) = rule(value) {
        pointer.fault(errors, "rule", message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_escaped() {
        let mut pointer = Pointer::root(RequestPart::Body);
        let mut errors = ValidationErrors::new();
        pointer.at("a/b~c", |p| p.at("0", |p| p.fault(&mut errors, "x", text!("y"))));
        assert_eq!(errors.into_sorted()[0].pointer, "/a~1b~0c/0");
    }

    #[test]
    fn lengths_count_characters() {
        let mut errors = ValidationErrors::new();
        length(&"가나다".to_owned(), Some(3), Some(3), &Pointer::root(RequestPart::Body), &mut errors);
        assert!(errors.is_empty());
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
