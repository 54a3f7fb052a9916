//! Documents drift: every relative link, every path of this repository and every `cargo xtask` verb they name must
//! exist.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use clap::CommandFactory;
use devservers::workspace::Workspace;
use regex::Regex;

use crate::check;

/// First components that are ours even when nothing is there yet, so that a misspelt room is noticed.
const ROOMS: &[&str] = &[
    "crates",
    "domains",
    "server",
    "examples",
    "lab",
    "deploy",
    "docs",
    "config",
    "xtask",
    "clients",
    "conformance",
    "resilience",
    ".ci",
    ".cargo",
    ".github",
];

/// Endings that mark a path as a file of ours wherever it begins, such as `src/store.rs` or `store/src/tx.rs`.
const ENDINGS: &[&str] = &[".rs", ".toml", ".md", ".sql"];

/// Judges the documents at the root and under `docs/`. The changelog is history and may name what is gone.
pub fn check(workspace: &Workspace) -> Result<()> {
    let files = workspace.files()?;
    let tree = Tree::new(&files);
    let verbs: Vec<String> =
        crate::Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let mut all = Vec::new();
    for file in files.iter().filter(|file| is_judged(file)) {
        let found = faults(file, &workspace.read(file)?, &tree, &verbs)?;
        all.extend(found.into_iter().map(|(line, what)| format!("{file}:{line}: {what}")));
    }
    check::none_of(&all)
}

fn is_judged(file: &str) -> bool {
    file.ends_with(".md") && file != "CHANGELOG.md" && (!file.contains('/') || file.starts_with("docs/"))
}

/// The files of the repository and the directories they stand in.
struct Tree(BTreeSet<String>);

impl Tree {
    fn new(files: &[String]) -> Self {
        let mut all = BTreeSet::from([String::new()]);
        for file in files {
            let ends = file.match_indices('/').map(|(at, _)| at).chain([file.len()]);
            all.extend(ends.map(|end| file[..end].to_owned()));
        }
        Self(all)
    }

    fn has(&self, path: &str) -> bool {
        self.0.contains(path.trim_end_matches('/'))
    }

    fn has_ending(&self, path: &str) -> bool {
        let ending = format!("/{}", path.trim_end_matches('/'));
        self.has(path) || self.0.iter().any(|known| known.ends_with(&ending))
    }
}

fn faults(file: &str, text: &str, tree: &Tree, verbs: &[String]) -> Result<Vec<(usize, String)>> {
    let link = Regex::new(r"\]\(<?([^)<>\s]+)>?[^)]*\)").context("the pattern of links")?;
    let code = Regex::new(r"`([^`]+)`").context("the pattern of code")?;
    let path = Regex::new(r"^[A-Za-z0-9_.][A-Za-z0-9_./-]*$").context("the pattern of paths")?;
    let verb = Regex::new(r"cargo xtask ([a-z][a-z-]*)").context("the pattern of verbs")?;

    let mut faults = Vec::new();
    let mut is_fenced = false;
    for (line, text) in (1..).zip(text.lines()) {
        is_fenced ^= text.trim_start().starts_with("```");
        for found in verb.captures_iter(text).map(|captures| captures[1].to_owned()) {
            if !verbs.contains(&found) {
                faults.push((line, format!("there is no `cargo xtask {found}`")));
            }
        }
        // A fenced block is a listing: trees, other people's files, things to make.
        if is_fenced {
            continue;
        }
        for target in link.captures_iter(text).map(|captures| captures[1].to_owned()) {
            let target = target.split(['#', '?']).next().unwrap_or_default();
            if target.is_empty() || target.contains(':') {
                continue;
            }
            if !resolved(file, target).is_some_and(|path| tree.has(&path)) {
                faults.push((line, format!("the link {target} leads nowhere")));
            }
        }
        for word in code.captures_iter(text).map(|captures| captures[1].to_owned()) {
            let word = without_line(&word);
            if word.contains('/') && path.is_match(word) && !exists(file, word, tree) {
                faults.push((line, format!("there is no `{word}`")));
            }
        }
    }
    Ok(faults)
}

/// Whether something that looks like a path of ours is there. What does not look so passes.
fn exists(file: &str, word: &str, tree: &Tree) -> bool {
    let first = word.split('/').next().unwrap_or_default();
    let relative = resolved(file, word).is_some_and(|path| tree.has(&path));
    if ROOMS.contains(&first) || word.starts_with("./") || word.starts_with("../") {
        relative || tree.has(word)
    } else if ENDINGS.iter().any(|ending| word.ends_with(ending)) {
        relative || tree.has_ending(word)
    } else {
        true
    }
}

/// `path/file.rs:12` and `path/file.rs:12:3` without the numbers.
fn without_line(word: &str) -> &str {
    let bare = word.trim_end_matches(|c: char| c.is_ascii_digit() || c == ':');
    if word[bare.len()..].starts_with(':') { bare } else { word }
}

/// A link's target from the root, or `None` when it leaves the repository.
fn resolved(file: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = match target.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => file.split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev().collect(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let files =
            ["README.md", "docs/api.md", "docs/decisions/0001.md", "crates/store/src/tx.rs", "xtask/Cargo.toml"];
        let tree = Tree::new(&files.map(str::to_owned));
        let verbs = ["check".to_owned(), "test".to_owned()];
        faults("docs/api.md", text, &tree, &verbs)
            .unwrap()
            .into_iter()
            .map(|(line, what)| format!("{line} {what}"))
            .collect()
    }

    #[test]
    fn what_exists_passes() {
        let text = "
            [a](decisions/0001.md#why) [b](../README.md) [c](#here) [d](https://example.org/x.md) [e](<../xtask>)
            `crates/store` `crates/store/` `crates/store/src/tx.rs:12` `store/src/tx.rs` `src/tx.rs` `decisions/0001.md`
            `cargo xtask check` `/api/v1/posts` `application/json` `a/b c.rs` `domains/*/src/store.rs` `text/x.csv`
            ```
            docs/nowhere.md `src/none.rs` [x](none.md)
            ```";
        assert_eq!(found(text), Vec::<String>::new());
    }

    #[test]
    fn what_is_gone_is_told() {
        assert_eq!(found("[a](none.md)"), ["1 the link none.md leads nowhere"]);
        assert_eq!(found("\n[a](../../out.md)"), ["2 the link ../../out.md leads nowhere"]);
        assert_eq!(found("`crates/stoer`"), ["1 there is no `crates/stoer`"]);
        assert_eq!(found("`crates/store/src/tx2.rs:7:1`"), ["1 there is no `crates/store/src/tx2.rs`"]);
        assert_eq!(found("`src/none.rs`"), ["1 there is no `src/none.rs`"]);
        assert_eq!(found("```\ncargo xtask chekc\n```"), ["2 there is no `cargo xtask chekc`"]);
    }
}
