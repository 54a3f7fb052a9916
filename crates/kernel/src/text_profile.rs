//! What a text may hold, and the one form in which it is kept and compared.
//!
//! The profiles follow PRECIS (RFC 8264): [`Name`](TextProfile::Name) is its Nickname (RFC 8266) and
//! [`Opaque`](TextProfile::Opaque) the case that it leaves alone. Two deviations, because people write so: names are kept
//! in NFC and not in NFKC, which would write `㈜` as `(주)`; and emoji sequences may stand in them.

use std::borrow::Cow;
use std::fmt;

use unicode_normalization::char::{canonical_combining_class, is_combining_mark, is_public_assigned};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::{Text, text};

/// What kind of text a field holds: what is refused in it, and how it is normalised. Stated by a word in `#[check(…)]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextProfile {
    /// Bytes that happen to be text: passwords, tokens, signatures. Kept as sent; only NUL is refused.
    Opaque,
    /// Text of any number of lines, in NFC. Refused: control characters but for tab, line feed and carriage return, and
    /// overrides of the direction.
    #[default]
    Text,
    /// One line of text, in NFC. Refused beside that: line breaks, everything that changes the direction, hidden tags,
    /// marks without end, and a line that shows nothing. It may be empty: `length(min = 1)` forbids that.
    Line,
    /// The name of a person or a thing, as others see it. A line whose spaces are single ones and none of them at an end.
    /// Refused beside that: invisible characters, but where a script or an emoji needs them, and characters that are not
    /// assigned or of private use.
    Name,
}

/// Why a text is not of a [`TextProfile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFault {
    /// It holds NUL, which PostgreSQL cannot keep.
    Nul,
    /// It holds a control character.
    Control(char),
    /// It has more than one line.
    LineBreak,
    /// It holds a character that changes the direction of what is shown.
    Direction(char),
    /// It holds a character that nobody sees.
    Invisible(char),
    /// It holds a character without a meaning that all agree on.
    Unassigned(char),
    /// It begins with a combining mark, or has too many of them in a row.
    Marks,
    /// It shows nothing.
    Blank,
}

/// The most combining marks in a row. No script needs more; more of them cover the lines above and below.
const MOST_MARKS: usize = 8;

impl TextFault {
    /// The rule's stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Nul => "nul_character",
            Self::Control(_) => "control_character",
            Self::LineBreak => "line_break",
            Self::Direction(_) => "direction_control",
            Self::Invisible(_) => "invisible_character",
            Self::Unassigned(_) => "unassigned_character",
            Self::Marks => "combining_marks",
            Self::Blank => "nothing_visible",
        }
    }

    /// The rule, for the caller. What was found is named by its number: it must not be shown.
    pub fn text(self) -> Text {
        let number = |c: char| format!("U+{:04X}", u32::from(c));
        match self {
            Self::Nul => text!("must not contain the NUL character"),
            Self::Control(c) => text!("must not contain control characters; remove {character}", character = number(c)),
            Self::LineBreak => text!("must be one line; remove the line break"),
            Self::Direction(c) => {
                text!("must not change the direction of text; remove {character}", character = number(c))
            }
            Self::Invisible(c) => {
                text!("must not contain invisible characters here; remove {character}", character = number(c))
            }
            Self::Unassigned(c) => {
                text!("must not contain unassigned or private characters; remove {character}", character = number(c))
            }
            Self::Marks => {
                let most = MOST_MARKS;
                text!("must not begin with a combining mark, nor have more than {most} in a row", most)
            }
            Self::Blank => text!("must show something"),
        }
    }
}

impl fmt::Display for TextFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
    }
}

impl std::error::Error for TextFault {}

/// The text with each character written in one way (Unicode Normalization Form C): what macOS writes as two or three
/// characters of Hangul is one. Borrowed where it is so already, which nearly every text is.
pub fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || text.chars().all(|c| c.is_ascii() || is_common(c)) || is_nfc(text) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

impl TextProfile {
    /// Judges a text, and gives it in the form that is kept.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(self, text: &str) -> Result<Cow<'_, str>, TextFault> {
        if self == Self::Opaque {
            return if text.as_bytes().contains(&0) { Err(TextFault::Nul) } else { Ok(Cow::Borrowed(text)) };
        }
        let is_plain = self.is_plain(text);
        if is_plain && self == Self::Text {
            return Ok(Cow::Borrowed(text));
        }
        let mut kept = if is_plain { Cow::Borrowed(text) } else { nfc(text) };
        if self == Self::Name {
            kept = squeezed(kept);
            if kept.is_empty() && !text.is_empty() {
                return Err(TextFault::Blank);
            }
        }
        if !is_plain {
            self.judge(&kept)?;
        } else if !kept.is_empty() && kept.bytes().all(|b| b == b' ') {
            return Err(TextFault::Blank);
        }
        Ok(kept)
    }

    /// Whether a glance is enough: nothing in it but printable ASCII and [common](is_common) letters.
    fn is_plain(self, text: &str) -> bool {
        let has_lines = self == Self::Text;
        let is_printable = |b: u8| matches!(b, b' '..=b'~') | (has_lines & matches!(b, b'\t' | b'\n' | b'\r'));
        if text.is_ascii() {
            // Without an early end inside a block, so that the compiler looks at many bytes at once.
            text.as_bytes().chunks(64).all(|block| block.iter().fold(true, |all, b| all & is_printable(*b)))
        } else {
            text.chars().all(|c| is_common(c) || u8::try_from(c).is_ok_and(is_printable))
        }
    }

    /// Looks at every character of a text in NFC.
    fn judge(self, text: &str) -> Result<(), TextFault> {
        let (mut is_visible, mut marks, mut before) = (false, 0, None);
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            if !is_common(c) {
                self.judge_character(c, before, rest.as_str().chars().next())?;
            }
            if self == Self::Text {
                continue;
            }
            if is_combining_mark(c) {
                marks += 1;
                if before.is_none() || marks > MOST_MARKS {
                    return Err(TextFault::Marks);
                }
            } else {
                marks = 0;
                is_visible |= !(is_ignorable(c) || is_blank(c) || c.is_whitespace());
            }
            before = Some(c);
            if c == BLACK_FLAG {
                rest = rest.as_str()[flag_tags(rest.as_str())..].chars();
            }
        }
        if is_visible || text.is_empty() || self == Self::Text { Ok(()) } else { Err(TextFault::Blank) }
    }

    fn judge_character(self, c: char, before: Option<char>, after: Option<char>) -> Result<(), TextFault> {
        let (is_text, is_name) = (self == Self::Text, self == Self::Name);
        match c {
            '\0' => Err(TextFault::Nul),
            '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}' if is_text => Ok(()),
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' if !is_text => Err(TextFault::LineBreak),
            c if c.is_control() => Err(TextFault::Control(c)),
            // Overrides show text in another order than it has; what ends them is of no use without them.
            '\u{202d}' | '\u{202e}' => Err(TextFault::Direction(c)),
            // Embeddings and isolates that nobody ends reach into what a page shows beside the line.
            '\u{202a}'..='\u{202c}' | '\u{2066}'..='\u{2069}' if !is_text => Err(TextFault::Direction(c)),
            '\u{61c}' | '\u{200e}' | '\u{200f}' if is_name => Err(TextFault::Direction(c)),
            // Tags spell out ASCII that machines read and people do not see. Those of a flag were passed over.
            '\u{e0000}'..='\u{e007f}' if !is_text => Err(TextFault::Invisible(c)),
            c if is_name && (is_ignorable(c) || is_blank(c)) && !is_joiner(c, before, after) => {
                Err(TextFault::Invisible(c))
            }
            c if is_name && !is_public_assigned(c) => Err(TextFault::Unassigned(c)),
            _ => Ok(()),
        }
    }

    /// The `format` of its JSON Schema, which says all of the rule; none where the [pattern](Self::pattern) does.
    pub const fn format(self) -> Option<&'static str> {
        match self {
            Self::Opaque | Self::Text => None,
            Self::Line => Some("line"),
            Self::Name => Some("name"),
        }
    }

    /// The `pattern` of its JSON Schema (ECMA-262). It accepts whatever the profile does; of [`Line`](Self::Line) and
    /// [`Name`](Self::Name) also what only a table of Unicode can tell, so that every reader of patterns can use it. The
    /// schema judges what was sent, before it is normalised.
    pub const fn pattern(self) -> &'static str {
        match self {
            Self::Opaque => r"^[^\u0000]*$",
            Self::Text => r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202d\u202e]*$",
            Self::Line => LINE,
            Self::Name => NAME,
        }
    }

    /// The profile with this `format`.
    pub fn of_format(format: &str) -> Option<Self> {
        [Self::Line, Self::Name].into_iter().find(|profile| profile.format() == Some(format))
    }

    /// The profile with this `pattern`.
    pub fn of_pattern(pattern: &str) -> Option<Self> {
        [Self::Opaque, Self::Text, Self::Line, Self::Name].into_iter().find(|profile| profile.pattern() == pattern)
    }
}

/// In no line: controls, line breaks, changes of direction.
macro_rules! barred {
    () => {
        r"\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069"
    };
}

/// The spaces that may stand in a line.
macro_rules! spaces {
    () => {
        r" \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
    };
}

/// What else shows nothing, wherever it stands.
macro_rules! hidden {
    () => {
        r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2060-\u2065\u206a-\u206f\u2800\u3164\ufeff\uffa0\ufff0-\ufffc"
    };
}

/// What shows nothing, but may be needed between others.
macro_rules! joiners {
    () => {
        r"\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f"
    };
}

/// Of private use, and what is no character.
macro_rules! private {
    () => {
        r"\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff"
    };
}

// Each is empty, or has one character that can be seen after those that cannot: read from left to right without a
// second try, however long the text is.
const LINE: &str = concat!(
    "^([",
    spaces!(),
    hidden!(),
    joiners!(),
    "]*[^",
    barred!(),
    spaces!(),
    hidden!(),
    joiners!(),
    "][^",
    barred!(),
    "]*)?$"
);
const NAME: &str = concat!(
    "^([",
    spaces!(),
    "]*[^",
    barred!(),
    spaces!(),
    hidden!(),
    joiners!(),
    private!(),
    "][^",
    barred!(),
    hidden!(),
    private!(),
    "]*)?$"
);

/// The letters that most texts consist of: each is in NFC whatever stands beside it, is seen, and is in no list below.
const fn is_common(c: char) -> bool {
    matches!(
        c,
        '\u{a1}'..='\u{ac}'
            | '\u{ae}'..='\u{2ff}'
            | '\u{400}'..='\u{481}'
            | '\u{3041}'..='\u{3096}'
            | '\u{30a1}'..='\u{30fa}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7a3}'
    )
}

/// General_Category Zs.
const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// Default_Ignorable_Code_Point of Unicode 17 (DerivedCoreProperties.txt): shown as nothing.
const fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// What shows nothing by its form: the braille pattern without dots, interlinear annotations, the place of an object,
/// the note without a head.
const fn is_blank(c: char) -> bool {
    matches!(c, '\u{2800}' | '\u{fff9}'..='\u{fffc}' | '\u{1d159}')
}

/// Whether an ignorable character does something where it stands in a name.
fn is_joiner(c: char, before: Option<char>, after: Option<char>) -> bool {
    let Some(before) = before else { return false };
    // RFC 5892, appendices A.1 and A.2.
    let is_after_virama = || canonical_combining_class(before) == 9;
    match c {
        // Between letters that would otherwise be joined: Persian cannot be written without.
        '\u{200c}' => is_after_virama() || (is_cursive(before) && after.is_some_and(is_cursive)),
        // Or between emoji (UTS #51, ED-16).
        '\u{200d}' => is_after_virama() || ((is_emoji(before) || before == '\u{fe0f}') && after.is_some_and(is_emoji)),
        // Shown as text or as a picture (ED-8a, ED-9a); in a keycap.
        '\u{fe0e}' | '\u{fe0f}' => {
            is_emoji(before) || (matches!(before, '0'..='9' | '#' | '*') && after == Some('\u{20e3}'))
        }
        // A form of an ideograph, as in names of Japan (UTS #37).
        '\u{fe00}'..='\u{fe02}' | '\u{e0100}'..='\u{e01ef}' => is_ideograph(before),
        '\u{180b}'..='\u{180d}' | '\u{180f}' => matches!(before, '\u{1820}'..='\u{18aa}'),
        _ => false,
    }
}

/// Blocks of scripts whose letters join their neighbours: Arabic, Syriac, N'Ko, Mandaic, Adlam.
const fn is_cursive(c: char) -> bool {
    matches!(
        c,
        '\u{620}'..='\u{6ff}'
            | '\u{710}'..='\u{7fa}'
            | '\u{840}'..='\u{8ff}'
            | '\u{fb50}'..='\u{fdff}'
            | '\u{fe70}'..='\u{fefc}'
            | '\u{1e900}'..='\u{1e94b}'
    )
}

/// The blocks that emoji stand in.
const fn is_emoji(c: char) -> bool {
    matches!(
        c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{3030}' | '\u{303d}' | '\u{3297}'
            | '\u{3299}'
            | '\u{2190}'..='\u{21ff}'
            | '\u{2300}'..='\u{27bf}'
            | '\u{2900}'..='\u{297f}'
            | '\u{2b00}'..='\u{2bff}'
            | '\u{1f000}'..='\u{1faff}'
    )
}

const fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

const BLACK_FLAG: char = '\u{1f3f4}';

/// The bytes of the tags that, after a black flag, make the flag of a part of a country: `gbsct` (UTS #51, ED-14a).
fn flag_tags(rest: &str) -> usize {
    let is_tag = |c: char| matches!(c, '\u{e0030}'..='\u{e0039}' | '\u{e0061}'..='\u{e007a}');
    let tags = rest.chars().take_while(|c| is_tag(*c)).count();
    // Each of these takes four bytes.
    let length = tags * 4;
    let is_ended = rest.get(length..).is_some_and(|rest| rest.starts_with('\u{e007f}'));
    if is_ended && (3..=6).contains(&tags) { length + 4 } else { 0 }
}

/// RFC 8266 section 2.1: every space is U+0020, none stands at an end or beside another.
fn squeezed(text: Cow<'_, str>) -> Cow<'_, str> {
    let is_squeezed = !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.contains("  ")
        && (text.is_ascii() || !text.contains(|c| c != ' ' && is_space(c)));
    if is_squeezed {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use unicode_normalization::{IsNormalized, is_nfc_quick};

    use super::*;

    fn code(profile: TextProfile, text: &str) -> Option<&'static str> {
        profile.read(text).err().map(TextFault::code)
    }

    #[test]
    fn what_is_common_needs_no_second_look() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32).filter(|c| is_common(*c)) {
            assert_eq!(is_nfc_quick(std::iter::once(c)), IsNormalized::Yes, "{c:?}");
            assert!(canonical_combining_class(c) == 0 && is_public_assigned(c) && !is_combining_mark(c), "{c:?}");
            assert!(!is_ignorable(c) && !is_blank(c) && !c.is_whitespace() && !c.is_control(), "{c:?}");
            for profile in [TextProfile::Text, TextProfile::Line, TextProfile::Name] {
                assert_eq!(profile.judge(c.encode_utf8(&mut [0; 4])), Ok(()), "{c:?}");
            }
        }
    }

    /// RFC 8265 and 8266: what no name holds.
    #[test]
    fn names_that_deceive_are_refused() {
        for (text, expected) in [
            ("Ada\0", "nul_character"),
            ("\u{1b}[31mAda", "control_character"),
            ("Ada\u{7f}", "control_character"),
            ("Ada\u{9b}1m", "control_character"),
            ("Ada\tLovelace", "control_character"),
            ("Ada\nroot: x", "line_break"),
            ("Ada\rEve", "line_break"),
            ("Ada\u{85}Eve", "line_break"),
            ("Ada\u{2028}Eve", "line_break"),
            ("Ada\u{2029}", "line_break"),
            ("\u{202e}evE", "direction_control"),
            ("a\u{202a}b", "direction_control"),
            ("a\u{202c}b", "direction_control"),
            ("a\u{2066}b\u{2069}", "direction_control"),
            ("a\u{200e}", "direction_control"),
            ("a\u{200f}", "direction_control"),
            ("a\u{61c}", "direction_control"),
            ("A\u{200b}da", "invisible_character"),
            ("A\u{ad}da", "invisible_character"),
            ("A\u{2060}da", "invisible_character"),
            ("A\u{feff}da", "invisible_character"),
            ("A\u{34f}da", "invisible_character"),
            ("\u{3164}", "invisible_character"),
            ("a\u{ffa0}", "invisible_character"),
            ("\u{1100}\u{1160}", "invisible_character"),
            ("\u{115f}", "invisible_character"),
            ("\u{2800}", "invisible_character"),
            ("a\u{fffc}", "invisible_character"),
            ("a\u{180e}b", "invisible_character"),
            ("a\u{17b4}", "invisible_character"),
            ("a\u{1d173}", "invisible_character"),
            ("a\u{e0061}", "invisible_character"),
            ("a\u{e0001}", "invisible_character"),
            ("\u{1f3f4}\u{e0061}\u{e0064}\u{e0061}", "invisible_character"),
            // Joiners where they join nothing.
            ("a\u{200d}b", "invisible_character"),
            ("a\u{200c}b", "invisible_character"),
            ("\u{200d}", "invisible_character"),
            ("a\u{fe0f}", "invisible_character"),
            ("1\u{fe0f}", "invisible_character"),
            ("a\u{e0100}", "invisible_character"),
            ("😀\u{200d}", "invisible_character"),
            ("می\u{200c}", "invisible_character"),
            ("a\u{e000}", "unassigned_character"),
            ("a\u{f8ff}", "unassigned_character"),
            ("a\u{378}", "unassigned_character"),
            ("a\u{fdd0}", "unassigned_character"),
            ("a\u{ffff}", "unassigned_character"),
            ("a\u{10fffe}", "unassigned_character"),
            ("a\u{100000}", "unassigned_character"),
            ("\u{301}", "combining_marks"),
            ("\u{20dd}a", "combining_marks"),
            ("\u{33a}\u{33b}", "combining_marks"),
            (&format!("Z{}", "\u{33f}".repeat(9)), "combining_marks"),
            (" ", "nothing_visible"),
            ("\u{3000}\u{a0}", "nothing_visible"),
        ] {
            assert_eq!(code(TextProfile::Name, text), Some(expected), "{}", text.escape_unicode());
        }
    }

    #[test]
    fn names_that_people_have_are_kept() {
        for text in [
            "",
            "Ada",
            "O'Brien-Łukasz III.",
            "홍길동",
            "㈜한국",
            "ㅋㅋㅋ",
            "山田 太郎",
            "葛\u{e0100}城",
            "Nguyễn Thị Ánh",
            "Ἀλέξανδρος",
            "Борис",
            "محمد",
            "می\u{200c}خواهم",
            "श्री",
            "क्\u{200d}ष",
            "ක්\u{200d}ෂ",
            "שָׁלוֹם",
            "สมชาย",
            "👩\u{200d}👩\u{200d}👧",
            "❤\u{fe0f}\u{200d}🔥",
            "🧑🏽\u{200d}🚀",
            "🇰🇷 1\u{fe0f}\u{20e3}",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "a@b.c <>&\"%_\\",
        ] {
            assert_eq!(TextProfile::Name.read(text).as_deref(), Ok(text), "{}", text.escape_unicode());
        }
    }

    #[test]
    fn a_name_has_single_spaces_and_one_form() {
        for (text, kept) in [
            ("  Ada   Lovelace ", "Ada Lovelace"),
            ("Ada\u{a0}\u{3000}Lovelace", "Ada Lovelace"),
            ("홍\u{3000}길동 ", "홍 길동"),
            ("\u{1112}\u{1169}\u{11bc}", "홍"),
            ("Cafe\u{301}", "Café"),
            ("\u{212b}", "Å"),
        ] {
            assert_eq!(TextProfile::Name.read(text).as_deref(), Ok(kept), "{}", text.escape_unicode());
            // What is kept is kept as it is when it is sent again.
            assert_eq!(TextProfile::Name.read(kept).as_deref(), Ok(kept));
        }
    }

    #[test]
    fn lines() {
        for (text, expected) in [
            ("a\nb", "line_break"),
            ("a\r\nb", "line_break"),
            ("a\u{2028}", "line_break"),
            ("\u{1b}]0;x\u{7}", "control_character"),
            ("a\tb", "control_character"),
            ("a\0", "nul_character"),
            ("\u{202e}a", "direction_control"),
            ("\u{2067}a", "direction_control"),
            ("a\u{e0041}", "invisible_character"),
            ("  ", "nothing_visible"),
            ("\u{200b}\u{feff}", "nothing_visible"),
            ("\u{3164}", "nothing_visible"),
            ("\u{2800} ", "nothing_visible"),
            ("\u{301}", "combining_marks"),
        ] {
            assert_eq!(code(TextProfile::Line, text), Some(expected), "{}", text.escape_unicode());
        }
        for text in [
            "",
            " a  b ",
            "가\u{200b}나",
            "a\u{200e}b",
            "\u{378}",
            "\u{e000}",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e007f}",
        ] {
            assert_eq!(TextProfile::Line.read(text).as_deref(), Ok(text), "{}", text.escape_unicode());
        }
        assert_eq!(TextProfile::Line.read("\u{1100}\u{1161}\u{11a8}").as_deref(), Ok("각"));
    }

    #[test]
    fn texts() {
        for (text, expected) in [
            ("a\0", "nul_character"),
            ("\u{1b}[2J", "control_character"),
            ("a\u{b}", "control_character"),
            ("a\u{c}", "control_character"),
            ("가\u{8}", "control_character"),
            ("a\u{85}", "control_character"),
            ("a\u{202e}b", "direction_control"),
            ("a\u{202d}b", "direction_control"),
        ] {
            assert_eq!(code(TextProfile::Text, text), Some(expected), "{}", text.escape_unicode());
        }
        for text in
            ["", " ", "a\r\n\tb\n", "가\n", "a\u{2028}b", "\u{2067}א\u{2069}", "\u{e000}", "\u{301}", "\u{200b}"]
        {
            assert_eq!(TextProfile::Text.read(text).as_deref(), Ok(text), "{}", text.escape_unicode());
        }
        assert_eq!(TextProfile::Text.read("\u{1100}\u{1161}\n").as_deref(), Ok("가\n"));
    }

    #[test]
    fn what_is_opaque_is_kept_as_it_is() {
        assert_eq!(code(TextProfile::Opaque, "a\0"), Some("nul_character"));
        assert_eq!(TextProfile::Opaque.read(" e\u{301}\u{1b}\n").as_deref(), Ok(" e\u{301}\u{1b}\n"));
    }

    #[test]
    fn what_is_read_once_is_read_again_alike() {
        let looked_at = (0..0x2_0000).chain(0xe_0000..0xe_1000).filter_map(char::from_u32).filter(|c| !is_common(*c));
        for c in looked_at {
            for profile in [TextProfile::Line, TextProfile::Name] {
                let sent = format!("a{c}b");
                if let Ok(kept) = profile.read(&sent) {
                    assert_eq!(profile.read(&kept).as_deref(), Ok(kept.as_ref()), "{c:?} in {profile:?}");
                    assert!(is_nfc(&kept), "{c:?} in {profile:?}");
                }
            }
        }
    }
}
