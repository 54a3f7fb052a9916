//! The language of an answer: the caller's `Accept-Language` (RFC 9110 section 12.5.4) against the languages there are.

use std::borrow::Cow;

use http::header::{ACCEPT_LANGUAGE, HeaderMap, HeaderValue};
use kernel::{Catalogue, Text};

/// The most ranges of one request that are looked at. No browser sends as many.
const MOST_RANGES: usize = 32;
/// What is said where a language has no word of its own.
static ENGLISH: HeaderValue = HeaderValue::from_static("en");
/// Longer ones name no language that could be here.
const MOST_RANGE_BYTES: usize = 35;

/// A language in which problems can be told.
#[derive(Debug)]
pub(crate) struct Language {
    tag: HeaderValue,
    /// This language and English.
    both: HeaderValue,
    catalogue: Catalogue,
}

impl Language {
    fn new(catalogue: Catalogue) -> Self {
        // A catalogue's tag is letters, digits and hyphens.
        let header = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| ENGLISH.clone());
        let language = catalogue.language();
        let tag = header(language);
        let is_english = language.eq_ignore_ascii_case("en");
        let both = if is_english { tag.clone() } else { header(&format!("{language}, en")) };
        Self { tag, both, catalogue }
    }

    /// For whom an answer is that is made of these texts, as `Content-Language` says it (RFC 9110 section 8.5): who
    /// reads this language, or English where it has none of them, or both where it has some.
    pub(crate) fn of<'a>(&self, texts: impl IntoIterator<Item = &'a Text>) -> &HeaderValue {
        if self.tag == self.both {
            return &self.tag;
        }
        let (mut is_translated, mut is_english) = (false, false);
        for template in texts.into_iter().flat_map(Text::templates) {
            let known = self.catalogue.get(template).is_some();
            is_translated |= known;
            is_english |= !known;
        }
        match (is_translated, is_english) {
            (true, true) => &self.both,
            (false, true) => &ENGLISH,
            (_, false) => &self.tag,
        }
    }

    /// A text in this language.
    pub(crate) fn say(&self, text: &Text) -> Cow<'static, str> {
        text.translate(&self.catalogue)
    }

    fn name(&self) -> &str {
        self.catalogue.language()
    }
}

/// The languages there are: English always, and those that catalogues were added for.
#[derive(Debug)]
pub(crate) struct Languages {
    english: Language,
    others: Vec<Language>,
}

impl Default for Languages {
    fn default() -> Self {
        Self { english: Language::new(Catalogue::default()), others: Vec::new() }
    }
}

impl Languages {
    /// Adds texts; where a language has one already, the new one counts.
    pub(crate) fn add(&mut self, catalogue: Catalogue) {
        let mut all = std::iter::once(&mut self.english).chain(&mut self.others);
        match all.find(|known| known.name().eq_ignore_ascii_case(catalogue.language())) {
            Some(known) => known.catalogue.extend(catalogue),
            None => self.others.push(Language::new(catalogue)),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Language> {
        std::iter::once(&self.english).chain(&self.others)
    }

    /// The language the caller likes best of those there are; English where none is wanted. The first of two that are
    /// wanted alike is the one the caller names first.
    pub(crate) fn choose(&self, headers: &HeaderMap) -> &Language {
        let values = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
        let ranges: Vec<Range<'_>> =
            values.flat_map(|value| value.split(',')).take(MOST_RANGES).filter_map(Range::read).collect();
        let mut best: Option<(&Language, u16)> = None;
        for range in ranges.iter().filter(|range| range.weight > 0) {
            if best.is_none_or(|(_, weight)| range.weight > weight)
                && let Some(language) = self.find(range, &ranges)
            {
                best = Some((language, range.weight));
            }
        }
        best.map_or(&self.english, |(language, _)| language)
    }

    /// The language for one range. A range without an exact match is tried without its last part, and so on (RFC 4647
    /// section 3.4): `ko-KR` gets `ko`. And `pt` gets `pt-BR`.
    fn find(&self, range: &Range<'_>, all: &[Range<'_>]) -> Option<&Language> {
        if range.name == "*" {
            // Every language that no other range speaks of.
            let is_named = |language: &Language| all.iter().any(|r| r.name != "*" && covers(r.name, language.name()));
            return self.all().find(|language| !is_named(language));
        }
        let mut name = range.name;
        loop {
            let mut fitting = self.all().filter(|language| covers(name, language.name()));
            if let Some(language) = fitting.find(|language| !is_refused(language.name(), all)) {
                return Some(language);
            }
            name = name.rsplit_once('-')?.0;
        }
    }
}

/// Whether the closest of the ranges that speak of a language has the weight 0.
fn is_refused(language: &str, ranges: &[Range<'_>]) -> bool {
    let speaking = ranges.iter().filter(|range| covers(range.name, language));
    speaking.max_by_key(|range| range.name.len()).is_some_and(|range| range.weight == 0)
}

/// Whether a range speaks of a language: it is its tag, or the beginning of it up to a hyphen (RFC 4647 section 3.3.1).
fn covers(range: &str, language: &str) -> bool {
    language.get(..range.len()).is_some_and(|start| start.eq_ignore_ascii_case(range))
        && matches!(language.as_bytes().get(range.len()), None | Some(b'-'))
}

/// A range of `Accept-Language`, and how much it is wanted, in thousandths.
struct Range<'a> {
    name: &'a str,
    weight: u16,
}

impl<'a> Range<'a> {
    /// Reads one; what is not a range says nothing.
    fn read(item: &'a str) -> Option<Self> {
        let (name, weight) = match item.split_once(';') {
            None => (item, 1000),
            Some((name, parameter)) => (name, weight(parameter.trim())?),
        };
        let name = name.trim();
        (!name.is_empty() && name.len() <= MOST_RANGE_BYTES).then_some(Self { name, weight })
    }
}

/// `q=0.123` in thousandths (RFC 9110 section 12.4.2).
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let is_weight = name.eq_ignore_ascii_case("q") && part.len() <= 3 && part.bytes().all(|b| b.is_ascii_digit());
    let thousandths = format!("{part:0<3}").parse::<u16>().ok()?;
    match whole {
        "0" if is_weight => Some(thousandths),
        "1" if is_weight && thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(languages: &[&str], headers: &[&str]) -> String {
        let mut all = Languages::default();
        for tag in languages {
            all.add(Catalogue::new(tag, [("a", *tag)]).unwrap());
        }
        let headers: HeaderMap =
            headers.iter().map(|value| (ACCEPT_LANGUAGE, HeaderValue::from_str(value).unwrap())).collect();
        let language = all.choose(&headers);
        assert_eq!(language.of([&kernel::text!("a")]).to_str().unwrap(), language.name());
        language.name().to_owned()
    }

    #[test]
    fn rfc_9110_section_12_5_4() {
        for (header, language) in [
            // The plain cases.
            ("ko", "ko"),
            ("en", "en"),
            ("KO", "ko"),
            ("ko-KR", "ko"),
            ("ko-Kore-KR", "ko"),
            ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", "ko"),
            ("en-US,en;q=0.9,ko;q=0.8", "en"),
            // What is wanted more counts, then what stands first.
            ("en;q=0.8, ko;q=0.9", "ko"),
            ("en;q=0.9, ko;q=0.8", "en"),
            ("ko, en", "ko"),
            ("en, ko", "en"),
            ("ko;q=1.000, en;q=0.999", "ko"),
            ("en;q=0.001, ko;q=0.002", "ko"),
            // What is not there is passed over.
            ("fr", "en"),
            ("fr, de;q=0.9, ko;q=0.1", "ko"),
            ("fr;q=0.1", "en"),
            // A longer word is another word.
            ("kok", "en"),
            ("k", "en"),
            // Anything: what no other range speaks of.
            ("*", "en"),
            ("*, ko;q=0.5", "en"),
            ("*;q=0.5, ko", "ko"),
            ("en;q=0.2, *", "ko"),
            ("en;q=0, *", "ko"),
            // Not at all.
            ("ko;q=0", "en"),
            ("ko;q=0.0, en;q=0.1", "en"),
            ("en;q=0, ko;q=0.1", "ko"),
            ("en;q=0", "en"),
            ("*;q=0", "en"),
            ("*;q=0, ko", "ko"),
            ("ko;q=0, ko-KR", "en"),
            ("ko-KR;q=0, ko;q=0.5", "ko"),
            // Written otherwise.
            (" ko ; q=0.5 ,, en;q=0.4", "ko"),
            ("ko;Q=0.5, en;q=0.4", "ko"),
            ("", "en"),
            // Not a range, not a weight: says nothing.
            ("ko;q=2", "en"),
            ("ko;q=1.001", "en"),
            ("ko;q=-1", "en"),
            ("ko;q=0.5555", "en"),
            ("ko;q=", "en"),
            ("ko;level=1", "en"),
            (";q=1, -, ---", "en"),
            ("ko_KR", "en"),
        ] {
            assert_eq!(chosen(&["ko"], &[header]), language, "{header}");
        }
        assert_eq!(chosen(&["ko"], &[]), "en");
        assert_eq!(chosen(&["ko"], &["fr", "ko"]), "ko");
        assert_eq!(chosen(&[], &["ko"]), "en");
        // A region of a language stands for it.
        assert_eq!(chosen(&["ko", "pt-BR"], &["pt, ko;q=0.9"]), "pt-BR");
        assert_eq!(chosen(&["ko", "pt-BR"], &["pt-PT, ko;q=0.9"]), "pt-BR");
        assert_eq!(chosen(&["ko", "pt-BR"], &["pt-BR;q=0, pt, ko;q=0.9"]), "ko");
    }

    #[test]
    fn an_absurd_header_is_read_no_further() {
        let many = format!("{}ko", "fr,".repeat(MOST_RANGES - 1));
        assert_eq!(chosen(&["ko"], &[&many]), "ko");
        assert_eq!(chosen(&["ko"], &[&format!("fr,{many}")]), "en");
        assert_eq!(chosen(&["ko"], &[&"ko-".repeat(10_000), "en;q=0.1"]), "en");
        let not_text = HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_bytes(b"ko\xff").unwrap())]);
        assert_eq!(Languages::default().choose(&not_text).name(), "en");
    }

    #[test]
    fn rfc_9110_section_8_5() {
        let [known, unknown] = [kernel::text!("one"), kernel::text!("two")];
        let half = kernel::text!("{what} and no more", what = known.clone());
        let ko = Language::new(Catalogue::new("ko", [("one", "하나")]).unwrap());
        for (texts, tag) in [
            (vec![&known], "ko"),
            (vec![&unknown], "en"),
            (vec![&unknown, &unknown], "en"),
            (vec![&known, &unknown], "ko, en"),
            (vec![&unknown, &known], "ko, en"),
            // One sentence, a part of which is translated.
            (vec![&half], "ko, en"),
            (vec![], "ko"),
        ] {
            assert_eq!(ko.of(texts.clone()), tag, "{texts:?}");
        }
        // English that is worded otherwise is English all the same.
        let en = Language::new(Catalogue::new("en", [("one", "a single one")]).unwrap());
        assert_eq!(en.of([&known, &unknown]), "en");
    }

    #[test]
    fn of_two_texts_the_later_counts() {
        let mut all = Languages::default();
        for (tag, text) in [("ko", "하나"), ("KO", "둘"), ("en", "one, in other words")] {
            all.add(Catalogue::new(tag, [("one", text)]).unwrap());
        }
        let ko = HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static("ko"))]);
        assert_eq!(all.choose(&ko).say(&kernel::text!("one")), "둘");
        assert_eq!(all.choose(&HeaderMap::new()).say(&kernel::text!("one")), "one, in other words");
    }
}
