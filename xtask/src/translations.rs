//! The messages to callers, in every language: each text of our crates and domains has a Korean one, and no file of
//! translations holds a line that nothing says any more. Texts are found in the sources, read as Rust tokens: the
//! literals of `text!("…")` and `#[api(Code, "…")]`, and the names of resources.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use devservers::workspace::Workspace;
use regex::Regex;

use crate::check;
use crate::module_rules::{Token, inner, tokens};

/// The languages that must be whole. A file of another one may have gaps, which fall back to English.
const WHOLE: &[&str] = &["ko"];

/// Where a text may be made of something else than a literal, and why. A row that nothing needs any more is an error.
const MAY_BE_MADE: &[(&str, &str)] = &[
    ("crates/kernel/src/text.rs", "the type itself"),
    ("crates/resource/src/answer.rs", "a resource's name, which is found where the resource is derived"),
];

/// One text, and where it stands.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    place: String,
    english: String,
}

/// A crate's texts, and its translations: for each language the file's path and its pairs.
#[derive(Debug, Default)]
struct Speaker {
    said: Vec<Said>,
    files: BTreeMap<String, (String, BTreeMap<String, String>)>,
    /// Every literal of its sources, to see whether they name its files.
    literals: Vec<String>,
}

/// Judges every crate and domain, and whatever else has a folder `texts`.
pub fn check(workspace: &Workspace) -> Result<()> {
    let mut speakers: BTreeMap<String, Speaker> = BTreeMap::new();
    let mut all = Vec::new();
    let mut made = Vec::new();
    for file in workspace.files()? {
        let [room, name, kind @ ("src" | "texts"), ..] = file.split('/').collect::<Vec<_>>()[..] else { continue };
        // The macros' strings are what they write out; the testkit is never part of a program.
        if !["crates", "domains", "examples"].contains(&room) || ["macros", "testkit"].contains(&name) {
            continue;
        }
        let speaker = speakers.entry(format!("{room}/{name}")).or_default();
        if kind == "src" && file.ends_with(".rs") {
            let tokens = tokens(&workspace.read(&file)?).with_context(|| file.clone())?;
            speaker.said.extend(said(&file, &tokens)?);
            speaker.literals.extend(tokens.iter().filter(|t| t.is_string).map(|t| inner(&t.text).to_owned()));
            for line in made_of_else(&tokens) {
                made.push(file.clone());
                if !MAY_BE_MADE.iter().any(|(path, _)| *path == file) {
                    all.push(format!("{file}:{line}: a text made at run time has no translation: use `text!(\"…\")`"));
                }
            }
        } else if let Some(language) = file.rsplit('/').next().and_then(|name| name.strip_suffix(".toml")) {
            let pairs = toml::from_str(&workspace.read(&file)?).with_context(|| file.clone())?;
            speaker.files.insert(language.to_owned(), (file.clone(), pairs));
        }
    }
    for (file, _) in MAY_BE_MADE {
        if !made.iter().any(|known| known == file) {
            all.push(format!("xtask/src/translations.rs: {file} makes no text any more: delete its row"));
        }
    }
    // Examples need no other language, but what they have must hold.
    speakers.retain(|dir, speaker| !dir.starts_with("examples/") || !speaker.files.is_empty());
    all.extend(faults(&speakers)?);
    check::none_of(&all)
}

fn faults(speakers: &BTreeMap<String, Speaker>) -> Result<Vec<String>> {
    let place = Regex::new(r"\{\{|\}\}|\{[^{}]*\}").context("the pattern of places")?;
    let mut faults = Vec::new();
    let mut known: HashMap<(&str, &str), (&str, &str)> = HashMap::new();
    for speaker in speakers.values() {
        for (language, (file, pairs)) in &speaker.files {
            if !speaker.literals.iter().any(|literal| *literal == format!("../texts/{language}.toml")) {
                faults.push(format!(
                    "{file}: nothing reads it: add `.texts(\"{language}\", include_str!(\"../texts/{language}.toml\"))` to \
                     the domain"
                ));
            }
            for (english, translation) in pairs {
                if !speaker.said.iter().any(|said| said.english == *english) {
                    faults.push(format!(
                        "{file}: nothing in this crate says \"{english}\": delete the line, or write the text as it stands \
                         in the source"
                    ));
                }
                let places = |text: &str| {
                    let mut places: Vec<String> =
                        place.find_iter(text).map(|found| found.as_str().to_owned()).collect();
                    places.retain(|place| place != "{{" && place != "}}");
                    places.sort();
                    places.dedup();
                    places
                };
                if places(english) != places(translation) {
                    faults.push(format!(
                        "{file}: \"{translation}\" must have the places of \"{english}\": {}",
                        places(english).join(", ")
                    ));
                }
                if translation.trim().is_empty() {
                    faults.push(format!("{file}: \"{english}\" has an empty translation: say it, or delete the line"));
                }
                let before = known.insert((language, english), (translation, file));
                if let Some((other, there)) = before.filter(|(other, _)| other != translation) {
                    faults.push(format!("{file}: \"{english}\" is \"{other}\" in {there}: say it alike"));
                }
            }
        }
    }
    for (dir, speaker) in speakers {
        for language in WHOLE {
            // The platform's texts are there in every app.
            let of_platform = speakers.iter().filter(|(other, _)| *other == dir || other.starts_with("crates/"));
            let missing = speaker.said.iter().filter(|said| {
                let has = |(_, other): (&String, &Speaker)| {
                    other.files.get(*language).is_some_and(|(_, pairs)| pairs.contains_key(&said.english))
                };
                !of_platform.clone().any(has)
            });
            for Said { place, english } in missing {
                faults.push(format!(
                    "{place}: no translation: add \"{english}\" = \"…\" to {dir}/texts/{language}.toml, with the same places"
                ));
            }
        }
    }
    Ok(faults)
}

/// The texts of a source.
fn said(file: &str, tokens: &[Token]) -> Result<Vec<Said>> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let word = |n: usize| tokens.get(at + n).map_or("", |token| token.text.as_str());
        let literal = |n: usize| tokens.get(at + n).filter(|token| token.is_string);
        let english = match token.text.as_str() {
            "text" if word(1) == "!" => literal(2).map(value).transpose()?,
            "api" if word(2) == "," => literal(3).map(value).transpose()?,
            "Resource" if token.is_derived => resource_name(&tokens[at..])?,
            _ => None,
        };
        if let Some(english) = english {
            found.push(Said { place: format!("{file}:{}", token.line), english });
        }
    }
    Ok(found)
}

/// The name of the resource that is derived here: what `#[resource(name = "…")]` says, or the struct's, in snake_case.
fn resource_name(tokens: &[Token]) -> Result<Option<String>> {
    for (at, token) in tokens.iter().enumerate() {
        let next = |n: usize| tokens.get(at + n);
        if token.text == "name" && next(1).is_some_and(|token| token.text == "=") {
            return next(2).map(value).transpose();
        }
        if token.text == "struct" {
            let mut name = String::new();
            for c in next(1).map_or("", |name| name.text.as_str()).chars() {
                if c.is_uppercase() && !name.is_empty() {
                    name.push('_');
                }
                name.extend(c.to_lowercase());
            }
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// What a literal means. Rust's escapes are JSON's, but for a line that goes on.
fn value(literal: &Token) -> Result<String> {
    let joined = Regex::new(r"\\\n\s*").context("the pattern of a line that goes on")?.replace_all(&literal.text, "");
    serde_json::from_str(&joined).with_context(|| format!("line {}: write this text as a plain literal", literal.line))
}

/// The lines on which a text is made of something else than a literal.
fn made_of_else(tokens: &[Token]) -> Vec<usize> {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.text == word);
    let names_it = |at: usize| (is(at, "Text") || is(at, "Self")) && is(at + 1, ":") && is(at + 2, ":");
    let made = (0..tokens.len()).filter(|&at| {
        let is_made =
            is(at + 3, "verbatim") || (is(at + 3, "plain") && !tokens.get(at + 4).is_some_and(|t| t.is_string));
        names_it(at) && is_made
    });
    made.map(|at| tokens[at].line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaker(dir: &str, source: &str, korean: &[(&str, &str)]) -> (String, Speaker) {
        let tokens = tokens(source).unwrap();
        let pairs = korean.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let said = said(&format!("{dir}/src/error.rs"), &tokens).unwrap();
        let files = BTreeMap::from([("ko".to_owned(), (format!("{dir}/texts/ko.toml"), pairs))]);
        (dir.to_owned(), Speaker { said, files, literals: vec!["../texts/ko.toml".to_owned()] })
    }

    #[test]
    fn texts_are_found() {
        let source = r#"
            /// text!("in documentation")
            fn f() { text!("a {b}", b = 1); kernel::text!("\"c\" \
                d"); other!("no") }
            #[derive(Debug, ApiError)]
            enum E { #[api(NotFound, "e {f}", name = "g")] A { f: u8 }, #[api(from)] B(X) }
            #[derive(Row, Resource)]
            #[resource(read = anyone)]
            pub struct BlogPost { #[resource(filter)] id: u8 }
            #[derive(Resource)]
            #[resource(name = "thing")]
            pub struct Other { id: u8 }
            impl Resource for Hand {}
            #[cfg(test)]
            mod tests { fn f() { text!("in a test") } }
        "#;
        let said = said("x.rs", &tokens(source).unwrap()).unwrap();
        let found: Vec<&str> = said.iter().map(|said| said.english.as_str()).collect();
        assert_eq!(found, ["a {b}", "\"c\" d", "e {f}", "blog_post", "thing"]);
        assert_eq!(said[0].place, "x.rs:3");
    }

    #[test]
    fn every_text_has_its_korean() {
        let http =
            ("text!(\"at most {max}\"); text!(\"needed\")", &[("at most {max}", "최대 {max}"), ("needed", "필수")]);
        let posts = "text!(\"gone {id}\"); text!(\"needed\")";
        let told = |http: (&str, &[(&str, &str)]), posts: (&str, &[(&str, &str)])| {
            let speakers = [speaker("crates/web", http.0, http.1), speaker("domains/posts", posts.0, posts.1)];
            faults(&BTreeMap::from(speakers)).unwrap()
        };
        assert_eq!(told((http.0, http.1), (posts, &[("gone {id}", "{id} 없음")])), Vec::<String>::new());
        for (korean, expected) in [
            (&[][..], "domains/posts/src/error.rs:1: no translation: add \"gone {id}\""),
            (&[("gone {id}", "없음")][..], "domains/posts/texts/ko.toml: \"없음\" must have the places"),
            (
                &[("gone {id}", "{id} 없음"), ("old", "x")][..],
                "domains/posts/texts/ko.toml: nothing in this crate says \"old\"",
            ),
            (
                &[("gone {id}", "{id} 없음"), ("needed", "필요")][..],
                "domains/posts/texts/ko.toml: \"needed\" is \"필수\" in",
            ),
        ] {
            let found = told((http.0, http.1), (posts, korean));
            assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}: {found:?}");
        }
        let mut unread = speaker("domains/posts", "text!(\"a\")", &[("a", "b")]);
        unread.1.literals.clear();
        let found = faults(&BTreeMap::from([unread])).unwrap();
        assert!(found.len() == 1 && found[0].starts_with("domains/posts/texts/ko.toml: nothing reads it"), "{found:?}");
    }

    #[test]
    fn a_text_made_at_run_time_is_found() {
        let lines = |source: &str| made_of_else(&tokens(source).unwrap());
        assert_eq!(lines("Text::verbatim(x);\nText::plain(self.name);\nText::plain(\"literal\")"), [1, 2]);
    }
}
