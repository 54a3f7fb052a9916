//! Whether somebody could guess a secret: what was left in from an example, and what a person typed.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The least randomness, in bits. What `openssl rand -hex 16` makes is found to have 128, or 40 less where chance looks like
/// an order; a sentence of forty letters 60.
const LEAST_BITS: f64 = 80.0;

/// What is looked at: more than is needed, and little enough that each may be compared with each.
const MOST_CHARACTERS: usize = 256;

/// Words of placeholders, with nothing between their letters. Six letters or more: in random text of 64 characters such a
/// word comes up once in some ten million.
const PLACEHOLDERS: &[&str] = &[
    "changeit",
    "changeme",
    "changethis",
    "changed",
    "default",
    "development",
    "donotuse",
    "dummykey",
    "example",
    "fillme",
    "generateme",
    "goeshere",
    "insecure",
    "insert",
    "letmein",
    "localhost",
    "mysecret",
    "notasecret",
    "notsecret",
    "password",
    "passphrase",
    "placeholder",
    "production",
    "putyour",
    "random",
    "replace",
    "sample",
    "secret",
    "secure",
    "something",
    "testing",
    "thisisa",
    "unsafe",
    "yourkey",
    "yourown",
    "yoursuper",
    "yourvery",
];

/// Words that people put together, beside those of placeholders: each counts little, whatever its length.
const COMMON: &[&str] = &[
    "access",
    "admin",
    "alpha",
    "and",
    "api",
    "app",
    "application",
    "auth",
    "backend",
    "bearer",
    "before",
    "beta",
    "blah",
    "cat",
    "change",
    "client",
    "code",
    "company",
    "config",
    "cookie",
    "correct",
    "database",
    "dev",
    "dog",
    "django",
    "docker",
    "dont",
    "encryption",
    "environment",
    "express",
    "fastapi",
    "flask",
    "foo",
    "bar",
    "baz",
    "for",
    "generate",
    "hello",
    "here",
    "horse",
    "jwt",
    "key",
    "keys",
    "laravel",
    "local",
    "login",
    "long",
    "mainstay",
    "make",
    "master",
    "must",
    "never",
    "not",
    "only",
    "please",
    "private",
    "prod",
    "project",
    "public",
    "qux",
    "rails",
    "safe",
    "security",
    "server",
    "service",
    "session",
    "should",
    "sign",
    "signing",
    "spring",
    "staging",
    "strong",
    "super",
    "test",
    "that",
    "the",
    "this",
    "token",
    "use",
    "used",
    "user",
    "value",
    "very",
    "web",
    "with",
    "world",
    "you",
    "your",
];

/// Rows of keyboards, and other orders that people follow.
const ORDERS: &[&str] = &[
    "1234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
    "1qaz2wsx3edc4rfv5tgb6yhn",
    "1q2w3e4r5t6y7u8i9o0p",
    "deadbeef",
    "cafebabe",
    "!@#$%^&*()",
];

/// What a word, a repetition or an order that somebody follows is worth, in bits.
const WORD_BITS: f64 = 8.0;
const REPEATED_BITS: f64 = 6.0;

/// Why a secret could be guessed, as the end of a sentence; none where it could not.
pub(super) fn why_guessable(secret: &str) -> Option<&'static str> {
    let secret: String = secret.chars().take(MOST_CHARACTERS).collect();
    let texts = [decoded(&secret), Some(secret)];
    texts.into_iter().flatten().find_map(|text| {
        if is_placeholder(&text) {
            Some("is guessable: it has words of an example in it")
        } else if bits(&text) < LEAST_BITS {
            Some("is guessable: it has little in it that is random")
        } else {
            None
        }
    })
}

/// The text that a secret is the Base64 or hexadecimal form of, where it is of a text. Random bytes are none.
fn decoded(secret: &str) -> Option<String> {
    let bare = secret.trim_end_matches('=');
    let digit = |b: u8| char::from(b).to_digit(16);
    let of_hex = || {
        let pairs = secret.as_bytes().chunks(2);
        pairs
            .map(|pair| Some(digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?))
            .map(|n| u8::try_from(n?).ok())
            .collect()
    };
    let forms = [of_hex(), STANDARD_NO_PAD.decode(bare).ok(), URL_SAFE_NO_PAD.decode(bare).ok()];
    let is_text =
        |bytes: &Vec<u8>| bytes.iter().all(|b| (b' '..0x7f).contains(b) || matches!(b, b'\n' | b'\r' | b'\t'));
    forms.into_iter().flatten().find(is_text).and_then(|bytes| String::from_utf8(bytes).ok())
}

fn is_placeholder(text: &str) -> bool {
    // `p@ssw0rd`, `CHANGE_ME`.
    let plain: String =
        text.chars().filter(|c| c.is_alphanumeric() || matches!(c, '@' | '$')).map(plain_letter).collect();
    PLACEHOLDERS.iter().any(|word| plain.contains(word))
}

fn plain_letter(c: char) -> char {
    match c.to_ascii_lowercase() {
        '0' => 'o',
        '1' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        c => c,
    }
}

/// The randomness of a text, in bits, as a guesser would see it who knows the words above and tries the simple first: the
/// least that its parts are worth, however it is taken apart.
fn bits(text: &str) -> f64 {
    let chars: Vec<char> = text.chars().collect();
    let lower: Vec<char> = chars.iter().map(char::to_ascii_lowercase).collect();
    let (per_char, sentence) = (alphabet(&chars).log2(), sentence(&chars));
    let mut from = vec![0.0; chars.len() + 1];
    for at in (0..chars.len()).rev() {
        let alone = if chars[at].is_alphanumeric() { per_char } else { 1.0 };
        let mut least = alone + from[at + 1];
        let mut explain = |length: usize, worth: f64| {
            if length > 0 {
                least = least.min(worth.min(length as f64 * per_char) + from[at + length]);
            }
        };
        for word in COMMON.iter().filter(|word| starts_with(&lower[at..], word)) {
            explain(word.len(), WORD_BITS.min(2.0 * word.len() as f64));
        }
        explain(followed(&lower[at..]), REPEATED_BITS);
        explain(repeated(&lower, at), REPEATED_BITS);
        let spelt = spelt(&chars[at..]);
        explain(spelt, 2.0 * spelt as f64);
        if let Some((_, word)) = sentence.iter().find(|(start, _)| *start == at) {
            explain(*word, WORD_BITS.min(2.0 * *word as f64));
        }
        from[at] = least;
    }
    from[0]
}

/// The words of a text that consists of such, where each begins and how long it is: parted by other signs, or by a capital
/// (`LikeThis`). None where a group of letters is no word, as in random text.
fn sentence(chars: &[char]) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let is_upper = |n: usize| chars.get(n).is_some_and(|c| c.is_uppercase());
        let is_lower = |n: usize| chars.get(n).is_some_and(|c| c.is_alphabetic() && !c.is_uppercase());
        if !is_upper(at) && !is_lower(at) {
            at += 1;
            continue;
        }
        let start = at;
        at += 1;
        let is_loud = is_upper(start) && is_upper(at);
        while (is_loud && is_upper(at)) || (!is_loud && is_lower(at)) {
            at += 1;
        }
        let word: String = chars[start..at].iter().collect::<String>().to_lowercase();
        let has_vowel = word.contains(['a', 'e', 'i', 'o', 'u', 'y']) || !word.is_ascii();
        let is_word = if at - start == 1 { word == "a" || word == "i" } else { has_vowel };
        if !is_word && !COMMON.contains(&word.as_str()) {
            return Vec::new();
        }
        words.push((start, at - start));
    }
    if words.len() >= 4 { words } else { Vec::new() }
}

/// How many different characters there could be, from the kinds that there are.
fn alphabet(chars: &[char]) -> f64 {
    let has = |is: fn(&char) -> bool| chars.iter().any(is);
    let is_hex = chars.iter().all(|c| c.is_ascii_hexdigit() || !c.is_alphanumeric());
    let letters = if is_hex { 6.0 } else { 26.0 };
    let kinds = [
        (has(char::is_ascii_digit), 10.0),
        (has(char::is_ascii_lowercase), letters),
        (has(char::is_ascii_uppercase), letters),
        (has(|c| !c.is_ascii()), 100.0),
    ];
    kinds.iter().map(|(is_there, count)| if *is_there { *count } else { 0.0 }).sum::<f64>().max(2.0)
}

fn starts_with(text: &[char], word: &str) -> bool {
    let mut text = text.iter();
    word.chars().all(|c| text.next() == Some(&c))
}

/// How many characters from here follow an order, forwards or backwards, or stay close to each other (`aabbcc`): four or
/// more, or none.
fn followed(text: &[char]) -> usize {
    let near = |pair: &[char]| u32::from(pair[0]).abs_diff(u32::from(pair[1])) <= 1;
    let close = 1 + text.windows(2).take_while(|pair| near(pair)).count();
    let in_order = ORDERS.iter().flat_map(|order| {
        let forwards: Vec<char> = order.chars().collect();
        let backwards: Vec<char> = forwards.iter().rev().copied().collect();
        [forwards, backwards].map(|order| {
            let Some(from) = order.iter().position(|c| Some(c) == text.first()) else { return 0 };
            order[from..].iter().zip(text).take_while(|(a, b)| a == b).count()
        })
    });
    Some(in_order.max().unwrap_or(0).max(close)).filter(|length| *length >= 4).unwrap_or(0)
}

/// How many characters from `at` stood before: four or more, or none.
fn repeated(text: &[char], at: usize) -> usize {
    let same = |from: usize| text[from..].iter().zip(&text[at..]).take_while(|(a, b)| a == b).count();
    (0..at).map(same).max().filter(|length| *length >= 4).unwrap_or(0)
}

/// The letters of a word that could be spoken, from here: four or more of one case (the first may be a capital), with
/// vowels and pairs of letters as English has them. Random letters rarely have.
fn spelt(text: &[char]) -> usize {
    let [first, rest @ ..] = text else { return 0 };
    if !first.is_ascii_alphabetic() {
        return 0;
    }
    let is_same: fn(&char) -> bool = match rest.first() {
        Some(second) if first.is_ascii_uppercase() && second.is_ascii_uppercase() => char::is_ascii_uppercase,
        _ => char::is_ascii_lowercase,
    };
    let length = 1 + rest.iter().take_while(|c| is_same(c)).count();
    if length < 4 {
        return 0;
    }
    let word: String = text[..length].iter().map(char::to_ascii_lowercase).collect();
    let usual =
        word.as_bytes().windows(2).filter(|pair| PAIRS.as_bytes().chunks(3).any(|known| known[..2] == **pair)).count();
    let is_speakable = word.contains(['a', 'e', 'i', 'o', 'u', 'y']) && usual * 3 >= length - 1;
    if is_speakable { length } else { 0 }
}

/// The pairs of letters that make half of English.
const PAIRS: &str = "th he in er an re nd at on nt ha es st en ed to it ou ea hi is or ti as te et ng of al de se le sa si ar ve \
ra ld ur ro me ch co ic ri io om ma ll el ee be ce ne la ta no li us ke pl ew wo rd em ho un op ai ss ct ap po so mi ";

#[cfg(test)]
mod tests {
    use kernel::Random;

    use super::*;

    #[test]
    fn what_people_leave_in_or_type_is_guessable() {
        for secret in [
            "your-very-long-random-key-goes-here-please",
            "change-me-change-me-change-me-change-me",
            "CHANGE_ME_TO_32_CHARS_OR_MORE_XXXXXXXX",
            "please-change-this-key-before-you-deploy-it",
            "supersecretkey1234567890supersecretkey",
            "P@ssw0rd-P@ssw0rd-P@ssw0rd-P@ssw0rd",
            "django-insecure-8#x!k2v@q9w$z7p&m3n^b5c*h1j(l4f)g6d",
            "this-is-a-very-long-key-for-jwt-signing",
            "ThisIsMyVeryLongSecretKeyForProduction2024!",
            "correct horse battery staple correct horse",
            "mainstaymainstaymainstaymainstaymainstay",
            "the quick brown fox jumps over the lazy dog",
            "hunter2hunter2hunter2hunter2hunter2hunter2",
            "my-company-api-key-for-the-web-server-2026",
            "MyCompanyApiKeyForTheWebServer2024",
            "ILoveMyDogRexAndMyCatTom123456789",
            "Summer2024!Winter2024!Spring2024!",
            "Tr0ub4dor&3Tr0ub4dor&3Tr0ub4dor&3",
            "0123456789abcdefghijklmnopqrstuvwxyzABCD",
            "0123456789abcdef0123456789abcdef",
            "abcdefghijklmnopqrstuvwxyz123456",
            "qwertyuiopasdfghjklzxcvbnm123456",
            "1q2w3e4r5t6y7u8i1q2w3e4r5t6y7u8i",
            "00112233445566778899aabbccddeeff",
            "deadbeefdeadbeefdeadbeefdeadbeef",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "xyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxy",
            "Zx9!Zx9!Zx9!Zx9!Zx9!Zx9!Zx9!Zx9!Zx9!Zx9!",
            "00000000-0000-0000-0000-000000000000",
            "12345678-1234-1234-1234-123456789012",
            // Of `this is my key, nobody will ever know it`.
            "dGhpcyBpcyBteSBrZXksIG5vYm9keSB3aWxsIGV2ZXIga25vdyBpdA==",
            // Of `changeme-changeme`.
            "6368616e67656d652d6368616e67656d65",
        ] {
            assert!(why_guessable(secret).is_some(), "{secret}: {} bits", bits(secret));
        }
    }

    /// As programs for it make them; the seed is fixed, so that what passes once passes always.
    #[test]
    fn what_is_random_is_not() {
        let random = Random::seeded(7);
        for _ in 0..100 {
            let bytes: [u8; 48] = random.bytes();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let letters: String = bytes[..40].iter().map(|byte| char::from(b'a' + byte % 26)).collect();
            let secrets = [
                STANDARD_NO_PAD.encode(bytes),
                URL_SAFE_NO_PAD.encode(&bytes[..32]),
                STANDARD_NO_PAD.encode(&bytes[..24]),
                hex[..64].to_owned(),
                hex[..32].to_owned(),
                hex[..32].to_uppercase(),
                letters,
                format!("prefix-{}", &hex[..40]),
            ];
            for secret in secrets {
                assert_eq!(why_guessable(&secret), None, "{secret}: {} bits", bits(&secret));
            }
        }
    }
}
