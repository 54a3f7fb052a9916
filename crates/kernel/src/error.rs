use std::fmt;
use std::time::Duration;

use crate::{Code, Text, text};

/// What an error must tell before it may leave an endpoint: its kind, a stable name, a message for the caller, and
/// the list of everything it can be, for the document. Normally derived (`derive(ApiError)`).
pub trait ApiError: std::error::Error + Send + Sync + 'static {
    /// The kind of failure.
    fn code(&self) -> Code;

    /// The stable name clients match on, in `snake_case`: `post_not_found`.
    fn name(&self) -> &'static str;

    /// What to tell the caller, in the language it asked for. Never names a Rust type, SQL, a path or an inner cause.
    fn message(&self) -> Text;

    /// How long the caller should wait before it tries again, where that is known.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// The single errors of an invalid request, by field.
    fn fields(&self) -> &[FieldError] {
        &[]
    }

    /// Appends every failure this type can be to the documentation of an operation.
    fn describe(out: &mut Vec<ErrorDoc>)
    where
        Self: Sized;
}

/// One failure an operation can answer with, as documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorDoc {
    /// Its kind.
    pub code: Code,
    /// Its stable name.
    pub name: &'static str,
    /// When it happens, one sentence.
    pub meaning: &'static str,
}

/// Where in a request an error was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestPart {
    /// In the body; the pointer is a JSON pointer (RFC 6901) into it.
    Body,
    /// In the query string; the pointer is `/` and the parameter's name.
    Query,
    /// In the path; the pointer is `/` and the parameter's name.
    Path,
    /// In a header; the pointer is `/` and the header's name in lower case.
    Header,
}

impl RequestPart {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            RequestPart::Body => "body",
            RequestPart::Query => "query",
            RequestPart::Path => "path",
            RequestPart::Header => "header",
        }
    }
}

/// One thing wrong with one value of a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldError {
    /// Where the value stands.
    pub place: RequestPart,
    /// JSON pointer to the value, by wire names. A missing field is named itself, not its parent.
    pub pointer: String,
    /// Stable name of the rule it breaks: `required`, `type`, `length`, `unknown_field` …
    pub code: &'static str,
    /// The rule in a sentence.
    pub message: Text,
}

/// Collects the errors of one request, each once.
#[derive(Debug, Default)]
pub struct ValidationErrors {
    list: Vec<FieldError>,
}

impl ValidationErrors {
    /// The most errors one answer lists; a larger body cannot make a larger answer.
    pub const MOST: usize = 100;

    /// The longest pointer, in bytes: the names in it are the caller's, and each error below them would repeat them.
    pub const LONGEST_POINTER: usize = 1000;

    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an error unless the same rule is already broken at the same place.
    pub fn add(&mut self, place: RequestPart, pointer: impl Into<String>, code: &'static str, message: Text) {
        if self.is_full() {
            return;
        }
        let mut pointer: String = pointer.into();
        if pointer.len() > Self::LONGEST_POINTER {
            pointer.truncate(pointer.floor_char_boundary(Self::LONGEST_POINTER));
            pointer.push('…');
        }
        let error = FieldError { place, pointer, code, message };
        let known = |f: &FieldError| f.place == error.place && f.code == error.code && f.pointer == error.pointer;
        if !self.list.iter().any(known) {
            self.list.push(error);
        }
    }

    /// Whether no more are listed: what is found from here on is not worth the work.
    pub const fn is_full(&self) -> bool {
        self.list.len() >= Self::MOST
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The errors in a stable order: by place, then pointer, then rule.
    pub fn into_sorted(mut self) -> Vec<FieldError> {
        self.list.sort();
        self.list
    }
}

/// A request that can be read, but holds values that are not acceptable: all of them. The one form of every invalid
/// request, whether the framework finds it or a domain's own rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invalid(Vec<FieldError>);

impl From<ValidationErrors> for Invalid {
    fn from(errors: ValidationErrors) -> Self {
        Self(errors.into_sorted())
    }
}

impl Invalid {
    /// The documentation of it.
    pub const DOC: ErrorDoc = ErrorDoc {
        code: Code::Invalid,
        name: "invalid_request",
        meaning: "Some values are not acceptable; `errors` lists all of them.",
    };

    /// One error alone.
    pub fn one(error: FieldError) -> Self {
        Self(vec![error])
    }

    /// These errors; none of them means nothing is refused.
    ///
    /// # Errors
    /// When there is one.
    pub fn unless_empty(mut errors: Vec<FieldError>) -> Result<(), Self> {
        errors.sort();
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }
}

impl fmt::Display for Invalid {
    /// The errors themselves, for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            let between = if i == 0 { "" } else { "; " };
            write!(f, "{between}{} {}", error.pointer.trim_start_matches('/'), error.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

impl ApiError for Invalid {
    fn code(&self) -> Code {
        Self::DOC.code
    }

    fn name(&self) -> &'static str {
        Self::DOC.name
    }

    fn message(&self) -> Text {
        match self.0.as_slice() {
            [_] => text!("One value is not acceptable; see `errors`."),
            all => text!("{count} values are not acceptable; see `errors`.", count = all.len()),
        }
    }

    fn fields(&self) -> &[FieldError] {
        &self.0
    }

    fn describe(out: &mut Vec<ErrorDoc>) {
        out.push(Self::DOC);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_errors_has_an_end_and_each_of_them_too() {
        let mut errors = ValidationErrors::new();
        for _ in 0..2 {
            errors.add(RequestPart::Body, "가".repeat(10_000), "type", text!("must be {kinds}", kinds = "null"));
        }
        assert!(!errors.is_full());
        for n in 0..2 * ValidationErrors::MOST {
            errors.add(RequestPart::Body, format!("/{n}"), "type", text!("must be {kinds}", kinds = "null"));
        }
        assert!(errors.is_full());
        let list = errors.into_sorted();
        assert_eq!(list.len(), ValidationErrors::MOST);
        assert!(list.iter().all(|error| error.pointer.len() <= ValidationErrors::LONGEST_POINTER + '…'.len_utf8()));
        assert_eq!(list.iter().filter(|error| error.pointer.ends_with('…')).count(), 1);
    }
}
