use std::collections::HashSet;
use std::sync::LazyLock;

use mainstay::kernel::{FieldError, RequestPart, Secret, Text, TextProfile, ValidationErrors, text};
use mainstay::web::Check as _;
use mainstay::web::validate::{self, Pointer};
use unicode_normalization::UnicodeNormalization;

use crate::error::fault;

/// An e-mail address: as typed, and in the form that is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Email {
    typed: String,
    key: String,
}

impl Email {
    /// Takes an address. It is not trimmed: what does not look like an address is refused, not mended.
    pub(crate) fn new(typed: &str) -> Result<Self, FieldError> {
        let mut errors = ValidationErrors::new();
        let mut pointer = Pointer::root(RequestPart::Body);
        let text = typed.to_owned();
        pointer.at("email", |pointer| validate::email(&text, pointer, &mut errors));
        match errors.into_sorted().pop() {
            Some(fault) => Err(fault),
            None => Ok(Self { key: email_key(typed), typed: text }),
        }
    }

    /// As it was typed.
    pub(crate) fn typed(&self) -> &str {
        &self.typed
    }

    /// As it is compared.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

/// The form in which addresses are compared: no case, one way to write a character. RFC 5321 lets hosts tell the case
/// of a mailbox apart; none that matters does, and two accounts for one mailbox would be a trap.
pub(crate) fn email_key(text: &str) -> String {
    text.nfc().flat_map(char::to_lowercase).nfc().collect()
}

/// What is said of a password on the block list.
pub(crate) const COMMON_PASSWORD: Text = text!("is one of the first that are guessed; choose another");

/// Most characters of a password. Longer ones are refused, never cut: cut ones would be other passwords.
pub(crate) const MOST_PASSWORD_CHARACTERS: usize = 256;

/// A password in the form that is hashed: RFC 8265's OpaqueString, in which every space is U+0020 and every character
/// is written one way (NFC). Nothing else is changed.
#[derive(Debug, Clone)]
pub(crate) struct Password(Secret<String>);

impl Password {
    /// Takes a password as it was typed.
    pub(crate) fn new(typed: &str) -> Self {
        let is_space = |c: char| {
            matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
        };
        Self(Secret::new(typed.chars().map(|c| if is_space(c) { ' ' } else { c }).nfc().collect()))
    }

    /// The bytes to hash.
    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }

    /// Whether it is among the first that are guessed for any account.
    pub(crate) fn is_common(&self) -> bool {
        is_common(self.0.expose(), &[])
    }

    /// What keeps it from being a new password, at `/password`.
    pub(crate) fn errors(&self, least_characters: u32, about: &[&str]) -> Vec<FieldError> {
        let text = self.0.expose();
        let length = text.chars().count();
        // What a text of any body may not hold.
        let mut of_text = ValidationErrors::new();
        let mut pointer = Pointer::root(RequestPart::Body);
        pointer.at("password", |pointer| self.0.clone().check(TextProfile::Opaque, pointer, &mut of_text));
        let mut errors = of_text.into_sorted();
        if length < least_characters as usize || length > MOST_PASSWORD_CHARACTERS {
            let (least, most) = (least_characters, MOST_PASSWORD_CHARACTERS);
            let message = text!("must have {least} to {most} characters", least, most);
            errors.push(fault("/password", "length", message));
        }
        if is_common(text, about) {
            errors.push(fault("/password", "common_password", COMMON_PASSWORD));
        }
        errors
    }
}

/// The commonest passwords of published leaks, eight characters or longer, one per line.
const COMMON: &str = include_str!("common_passwords.txt");

static COMMON_SET: LazyLock<HashSet<&'static str>> = LazyLock::new(|| COMMON.lines().collect());

/// Whether a password is among the first that are guessed: a common one, one character repeated, or a word about the
/// account (`about`) or the service, digits and signs round it notwithstanding. Case does not matter.
fn is_common(password: &str, about: &[&str]) -> bool {
    let lower = password.to_lowercase();
    let mut characters = lower.chars();
    let first = characters.next();
    if characters.all(|c| Some(c) == first) || COMMON_SET.contains(lower.as_str()) {
        return true;
    }
    let core = lower.trim_matches(|c: char| !c.is_alphabetic());
    about.iter().copied().chain(["mainstay"]).any(|word| {
        let word = word.to_lowercase();
        word.chars().count() >= 4 && (lower == word || core == word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(password: &str, about: &[&str]) -> Vec<&'static str> {
        Password::new(password).errors(8, about).into_iter().map(|f| f.code).collect()
    }

    #[test]
    fn common_passwords_are_refused_whatever_their_case() {
        for password in
            ["password1", "PassWord123", "qwertyuiop", "12345678", "aaaaaaaaaaaaaaaa", "mainstay", "Mainstay2026!"]
        {
            assert_eq!(codes(password, &[]), ["common_password"], "{password}");
        }
        let about = ["jo.doe@example.com", "jo.doe", "Jo Doe Senior"];
        for password in ["jo.doe@example.com", "JO.DOE123", "jo doe senior"] {
            assert_eq!(codes(password, &about), ["common_password"], "{password}");
        }
        // A name of four letters says who it is; one of three stands in too much else.
        assert_eq!(codes("anna2026!", &["Anna"]), ["common_password"]);
        assert_eq!(codes("ann2026!!", &["Ann"]), Vec::<&str>::new());
        for password in ["a mainstay of the house", "correct horse battery staple", "비밀번호는 길게 쓴다"] {
            assert_eq!(codes(password, &about), Vec::<&str>::new(), "{password}");
        }
    }

    #[test]
    fn lengths_count_characters_and_nothing_is_cut() {
        assert_eq!(codes("짧은비밀", &[]), ["length"]);
        assert_eq!(codes("여덟글자비밀번호", &[]), Vec::<&str>::new());
        assert_eq!(codes(&"xy".repeat(128), &[]), Vec::<&str>::new());
        assert_eq!(codes(&"xyz".repeat(86), &[]), ["length"]);
        assert_eq!(codes("seven green\0 lanterns", &[]), ["nul_character"], "as in a body");
        assert_eq!(codes("", &[]), ["common_password", "length"].into_iter().rev().collect::<Vec<_>>());
    }

    #[test]
    fn one_password_has_one_form() {
        // RFC 8265 section 4.2: the same characters, typed in two ways.
        assert_eq!(Password::new("cafe\u{301} au\u{a0}lait").expose(), Password::new("café au lait").expose());
        assert_ne!(Password::new(" café").expose(), Password::new("café").expose());
        assert_ne!(Password::new("Café").expose(), Password::new("café").expose());
    }

    #[test]
    fn an_address_is_compared_without_case() {
        let email = Email::new("Jo.Doe@Example.COM").unwrap();
        assert_eq!((email.typed(), email.key()), ("Jo.Doe@Example.COM", "jo.doe@example.com"));
        for bad in ["", " a@b.co", "a@b.co ", "a", "a@", "a b@c.de"] {
            let fault = Email::new(bad).unwrap_err();
            assert_eq!((fault.pointer.as_str(), fault.code), ("/email", "email"), "{bad}");
        }
    }

    #[test]
    fn the_list_is_in_the_form_that_is_compared() {
        for line in COMMON.lines() {
            assert!(line.chars().count() >= 8 && line == line.to_lowercase() && line.trim() == line, "{line}");
        }
        assert_eq!(COMMON_SET.len(), COMMON.lines().count(), "a line stands twice");
        assert!(COMMON_SET.len() >= 300);
    }
}
