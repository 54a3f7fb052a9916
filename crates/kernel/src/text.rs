use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// A message to a caller: an English sentence with `{places}`, and what stands in them. Made by [`text!`].
///
/// [`Display`](fmt::Display) says it in English. The sentence with its places is also the key under which a
/// [`Catalogue`] has it in another language, so a text is written once, where it is needed, and reads as what it says.
///
/// [`text!`]: crate::text!
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text {
    template: &'static str,
    arguments: Vec<(&'static str, Argument)>,
}

/// What stands in a place of a [`Text`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Argument {
    /// The same in every language: a number, a field's name, something the caller sent.
    Word(String),
    /// A text itself, which is translated too: `characters`, `an integer`.
    Text(Text),
}

impl Text {
    /// A sentence without places. Use [`text!`](crate::text!), which holds places and arguments together.
    pub const fn plain(template: &'static str) -> Self {
        Self { template, arguments: Vec::new() }
    }

    /// The same with something in the place `name`.
    #[must_use]
    pub fn with(mut self, name: &'static str, argument: impl Into<Argument>) -> Self {
        self.arguments.push((name, argument.into()));
        self
    }

    /// A sentence that has no translation, whatever the caller's language: one that is made at run time.
    pub fn verbatim(sentence: impl Into<String>) -> Self {
        Self::plain("{sentence}").with("sentence", sentence.into())
    }

    /// The English sentence with its places, as catalogues know it.
    pub const fn template(&self) -> &'static str {
        self.template
    }

    /// Every English sentence in it, as catalogues know them: its own, and those of the texts in its places.
    pub fn templates(&self) -> Vec<&'static str> {
        let inner = self.arguments.iter().flat_map(|(_, argument)| match argument {
            Argument::Word(_) => Vec::new(),
            Argument::Text(text) => text.templates(),
        });
        std::iter::once(self.template).chain(inner).collect()
    }

    /// The sentence in the catalogue's language; in English what it does not have.
    pub fn translate(&self, catalogue: &Catalogue) -> Cow<'static, str> {
        if self.arguments.is_empty() && catalogue.get(self.template).is_none() && !self.template.contains(['{', '}']) {
            return Cow::Borrowed(self.template);
        }
        let mut out = String::with_capacity(self.template.len() + 32);
        // Writing into a `String` never fails.
        let _ = self.write(Some(catalogue), &mut out);
        Cow::Owned(out)
    }

    fn write(&self, catalogue: Option<&Catalogue>, out: &mut dyn fmt::Write) -> fmt::Result {
        let template = catalogue.and_then(|c| c.get(self.template)).unwrap_or(self.template);
        for piece in pieces(template) {
            match piece {
                Piece::Words(words) => out.write_str(words)?,
                Piece::Placeholder(name) => match self.arguments.iter().find(|(known, _)| *known == name) {
                    Some((_, Argument::Word(word))) => out.write_str(word)?,
                    Some((_, Argument::Text(text))) => text.write(catalogue, out)?,
                    None => write!(out, "{{{name}}}")?,
                },
            }
        }
        Ok(())
    }

    /// Whether the places of a template are exactly these names. For [`text!`](crate::text!), while it is compiled.
    #[doc(hidden)]
    pub const fn fits(template: &str, names: &[&str]) -> bool {
        let bytes = template.as_bytes();
        let mut used = 0_u64;
        let mut i = 0;
        while i < bytes.len() {
            let is_double = i + 1 < bytes.len() && bytes[i] == bytes[i + 1];
            if (bytes[i] == b'{' || bytes[i] == b'}') && is_double {
                i += 2;
                continue;
            }
            if bytes[i] == b'}' {
                return false;
            }
            if bytes[i] == b'{' {
                let start = i + 1;
                while i < bytes.len() && bytes[i] != b'}' {
                    i += 1;
                }
                let mut n = 0;
                while n < names.len() && !is_same(bytes, start, i, names[n].as_bytes()) {
                    n += 1;
                }
                if i == bytes.len() || n == names.len() {
                    return false;
                }
                used |= 1 << n;
            }
            i += 1;
        }
        used == (1 << names.len()) - 1
    }
}

const fn is_same(bytes: &[u8], start: usize, end: usize, name: &[u8]) -> bool {
    if end - start != name.len() {
        return false;
    }
    let mut i = 0;
    while i < name.len() {
        if bytes[start + i] != name[i] {
            return false;
        }
        i += 1;
    }
    true
}

impl fmt::Display for Text {
    /// In English.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(None, f)
    }
}

impl From<Text> for Argument {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

macro_rules! words {
    ($($t:ty),*) => {
        $(impl From<$t> for Argument {
            fn from(word: $t) -> Self {
                Self::Word(word.to_string())
            }
        })*
    };
}
words!(&str, String, &String, char, u8, u16, u32, u64, usize, i8, i16, i32, i64, f64);

/// A [`Text`](crate::Text): the English sentence, then what stands in its `{places}`. The sentence is a literal, so that it can be
/// found and translated; its places and the arguments are held together while it is compiled.
///
/// ```
/// let most = 100;
/// let text = kernel::text!("must be {least} to {most}", least = 1, most);
/// assert_eq!(text.to_string(), "must be 1 to 100");
/// ```
#[macro_export]
macro_rules! text {
    (@value $name:ident) => { $name };
    (@value $name:ident $value:expr) => { $value };
    ($template:literal $(, $name:ident $(= $value:expr)?)* $(,)?) => {{
        const {
            assert!(
                $crate::Text::fits($template, &[$(::core::stringify!($name)),*]),
                "the places of a text and its arguments must be the same: text!(\"at most {{most}}\", most = 3)"
            );
        }
        $crate::Text::plain($template)$(.with(::core::stringify!($name), $crate::text!(@value $name $($value)?)))*
    }};
}

/// The texts of one language: what each English one is in it. English itself can have one, to word things otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    language: String,
    texts: HashMap<String, String>,
}

/// A catalogue that would tell callers something else than the English texts do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogueError {
    /// The language is not a tag like `ko` or `pt-BR` (RFC 5646).
    Language(String),
    /// The places of a translation are not those of the English text.
    Places {
        /// The English text.
        english: String,
        /// Its translation.
        translation: String,
    },
}

impl fmt::Display for CatalogueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Language(tag) => write!(f, "`{tag}` is not a language tag; write one like `ko` or `pt-BR`"),
            Self::Places { english, translation } => {
                write!(f, "`{translation}` must have the same `{{places}}` as the English text `{english}`")
            }
        }
    }
}

impl std::error::Error for CatalogueError {}

impl Default for Catalogue {
    /// English as it is written.
    fn default() -> Self {
        Self { language: "en".to_owned(), texts: HashMap::new() }
    }
}

impl Catalogue {
    /// The texts of a language: pairs of the English one and its translation.
    ///
    /// # Errors
    /// On something that is not a language's tag, and on a translation with other places than the English text.
    pub fn new(
        language: &str,
        texts: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Result<Self, CatalogueError> {
        let is_part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
        if language.len() > 35 || !language.split('-').all(is_part) {
            return Err(CatalogueError::Language(language.to_owned()));
        }
        let mut known = HashMap::new();
        for (english, translation) in texts {
            let (english, translation) = (english.into(), translation.into());
            if places(&english) != places(&translation) {
                return Err(CatalogueError::Places { english, translation });
            }
            known.insert(english, translation);
        }
        Ok(Self { language: language.to_owned(), texts: known })
    }

    /// The language's tag.
    pub fn language(&self) -> &str {
        &self.language
    }

    /// Adds another's texts of this language; where both have one, the other's counts.
    pub fn extend(&mut self, other: Self) {
        self.texts.extend(other.texts);
    }

    /// The translation of an English text with its places.
    pub fn get(&self, template: &str) -> Option<&str> {
        self.texts.get(template).map(String::as_str)
    }
}

enum Piece<'a> {
    Words(&'a str),
    Placeholder(&'a str),
}

/// The pieces of a template. A brace written twice stands for itself, as in `format!`.
fn pieces(mut rest: &str) -> impl Iterator<Item = Piece<'_>> {
    std::iter::from_fn(move || {
        // Bytes and not characters: neither brace is a part of another character, and this is a fifth of the work.
        let at = rest.bytes().position(|byte| matches!(byte, b'{' | b'}')).unwrap_or(rest.len());
        let (piece, length) = if rest.is_empty() {
            return None;
        } else if at > 0 {
            (Piece::Words(&rest[..at]), at)
        } else if rest.starts_with("{{") || rest.starts_with("}}") {
            (Piece::Words(&rest[..1]), 2)
        } else {
            match rest.find('}').filter(|end| *end > 0) {
                Some(end) => (Piece::Placeholder(&rest[1..end]), end + 1),
                None => (Piece::Words(&rest[..1]), 1),
            }
        };
        rest = &rest[length..];
        Some(piece)
    })
}

/// The names of a template's places, each once, in the order of the alphabet: a translation may put them in any order.
fn places(template: &str) -> Vec<&str> {
    let mut names: Vec<&str> = pieces(template)
        .filter_map(|piece| match piece {
            Piece::Placeholder(name) => Some(name),
            Piece::Words(_) => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn korean(texts: &[(&str, &str)]) -> Catalogue {
        Catalogue::new("ko", texts.iter().copied()).unwrap()
    }

    #[test]
    fn a_text_is_said_in_english_and_in_a_language() {
        let unit = text!("characters");
        let text = text!("must have {min} to {max} {unit}", min = 1, max = "10", unit);
        assert_eq!(text.to_string(), "must have 1 to 10 characters");
        let catalogue = korean(&[
            ("must have {min} to {max} {unit}", "길이는 {min}~{max}{unit} 사이여야 합니다."),
            ("characters", "자"),
        ]);
        assert_eq!(text.translate(&catalogue), "길이는 1~10자 사이여야 합니다.");
    }

    #[test]
    fn what_has_no_translation_is_said_in_english() {
        let text = text!("must have {min} {unit}", min = 1, unit = text!("items"));
        assert_eq!(text.translate(&korean(&[("items", "개")])), "must have 1 개");
        assert_eq!(text.translate(&korean(&[])), "must have 1 items");
        assert_eq!(text!("Not found").translate(&korean(&[])), "Not found");
        assert_eq!(Text::verbatim("made of {braces}").translate(&korean(&[])), "made of {braces}");
    }

    #[test]
    fn a_text_names_all_that_is_looked_up_for_it() {
        assert_eq!(text!("Not found").templates(), ["Not found"]);
        let range = text!("{min} to {max} {unit}", min = 1, max = 2, unit = text!("items"));
        let whole = text!("must have {range}, says {who}", range, who = "Ada");
        assert_eq!(whole.templates(), ["must have {range}, says {who}", "{min} to {max} {unit}", "items"]);
    }

    #[test]
    fn what_stands_in_a_place_is_not_read_as_a_template() {
        let name = "{name} {{ {other}";
        assert_eq!(text!("names `{name}` twice", name).to_string(), "names `{name} {{ {other}` twice");
    }

    #[test]
    fn braces() {
        assert_eq!(text!("{{}} {a}{a}", a = 'x').to_string(), "{} xx");
        for (template, names, fits) in [
            ("", &[][..], true),
            ("a {b} c", &["b"], true),
            ("a {b} {b}", &["b"], true),
            ("{b}{a}", &["a", "b"], true),
            ("{{a}}", &[], true),
            ("a {b}", &[], false),
            ("a", &["b"], false),
            ("a {b", &["b"], false),
            ("a b}", &["b"], false),
            ("{bb}", &["b"], false),
            ("{}", &[], false),
        ] {
            assert_eq!(Text::fits(template, names), fits, "{template}");
        }
    }

    #[test]
    fn a_catalogue_says_what_the_english_texts_say() {
        let places = Catalogue::new("ko", [("at most {max}", "{min} 이하")]).unwrap_err();
        assert_eq!(
            places.to_string(),
            "`{min} 이하` must have the same `{places}` as the English text `at most {max}`"
        );
        assert!(Catalogue::new("ko", [("{a} of {b}", "{b} 중 {a}")]).is_ok());
        for tag in ["", "-", "ko_KR", "ko-", "korean language", "한국어", &"a-".repeat(40)] {
            assert!(matches!(Catalogue::new(tag, [("a", "b")]), Err(CatalogueError::Language(_))), "{tag}");
        }
        for tag in ["ko", "pt-BR", "zh-Hant-TW"] {
            assert_eq!(Catalogue::new(tag, [("a", "b")]).unwrap().language(), tag);
        }
    }
}
