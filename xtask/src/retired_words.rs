//! One vocabulary: names that were given up for the field's own do not come back. `xtask/retired_words.toml` is the whole
//! rule.

use std::path::Path;

use anyhow::{Context, Result};
use devservers::workspace::Workspace;
use serde::Deserialize;

use crate::check;
use crate::module_rules::tokens;

/// The table.
const TABLE: &str = include_str!("../retired_words.toml");

#[derive(Deserialize)]
struct Table {
    identifier: Vec<Retired>,
    file: Vec<Files>,
    prose: Vec<Retired>,
}

#[derive(Deserialize)]
struct Retired {
    words: Vec<String>,
    instead: String,
}

#[derive(Deserialize)]
struct Files {
    under: String,
    words: Vec<String>,
}

/// Pages that tell how things were, and other people's code.
const HISTORY: &[&str] = &["CHANGELOG.md", "docs/decisions/", "docs/results/", "lab/results/", "lab/targets/"];

/// Judges every source and page.
pub fn check(workspace: &Workspace) -> Result<()> {
    let table = table()?;
    let mut found = Vec::new();
    for file in workspace.files()? {
        if HISTORY.iter().any(|place| file.starts_with(place)) {
            continue;
        }
        let path = Path::new(&file);
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("rs") if file != "xtask/src/retired_words.rs" => {
                let is_tested = file.contains("/tests/");
                let is_retired =
                    |files: &Files| file.starts_with(&files.under) && files.words.iter().any(|word| *word == name);
                if !is_tested && table.file.iter().any(is_retired) {
                    found.push(format!("{file}: a file is not called `{name}`"));
                }
                found.extend(identifiers(&table, &file, &workspace.read(&file)?)?);
            }
            Some("md") => found.extend(prose(&table, &file, &workspace.read(&file)?)),
            _ => {}
        }
    }
    check::none_of(&found)
}

fn table() -> Result<Table> {
    toml::from_str(TABLE).context("xtask/retired_words.toml cannot be read")
}

fn identifiers(table: &Table, file: &str, source: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for token in tokens(source).with_context(|| file.to_owned())?.iter().filter(|token| !token.is_string) {
        for Retired { words, instead } in &table.identifier {
            if words.contains(&token.text) {
                found.push(format!("{file}:{}: `{}` is {instead} now", token.line, token.text));
            }
        }
    }
    Ok(found)
}

/// Words outside code.
fn prose(table: &Table, file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_code = false;
    for (line, number) in text.lines().zip(1..) {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        // Every second part stands between backticks.
        for part in line.split('`').step_by(2) {
            for word in part.split(|c: char| !c.is_alphanumeric()) {
                let is_it = |retired: &&Retired| retired.words.iter().any(|one| one.eq_ignore_ascii_case(word));
                if let Some(retired) = table.prose.iter().find(is_it) {
                    found.push(format!("{file}:{number}: for `{word}` write {}", retired.instead));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retired_name_is_found_in_code_and_not_in_what_is_said_of_it() {
        let source = "/// A Reply.\nfn f(reply: Reply) -> Replying {\n    let lanes = \"lanes\";\n}\n";
        let found = identifiers(&table().unwrap(), "a.rs", source).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a.rs:2: `Reply` is") && found[1].starts_with("a.rs:3: `lanes` is"), "{found:?}");
    }

    #[test]
    fn a_retired_word_is_found_in_prose_alone() {
        let page = "A lane, `lane`.\n```\nlane\n```\nWhoever planes.\n";
        assert_eq!(prose(&table().unwrap(), "a.md", page).len(), 2);
    }
}
