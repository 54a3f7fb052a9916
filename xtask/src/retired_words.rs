//! One vocabulary: names that were given up for the field's own do not come back. The table is the whole rule.

use std::path::Path;

use anyhow::{Context, Result};
use devservers::workspace::Workspace;

use crate::check;
use crate::module_rules::tokens;

/// Identifiers that no source of ours has, and the standard word for each.
const IDENTIFIERS: &[(&[&str], &str)] = &[
    (&["http_types", "mainstay_http"], "the crate `http`, and our own `web`"),
    (&["Reply", "MadeReply", "KeptAnswer"], "`Response`, `CreatedResponse`, `StoredResponse`"),
    (&["Faults", "FieldFault"], "`ValidationErrors`, `FieldError`"),
    (&["Undecided"], "`AuthUnavailable`"),
    (&["KeptFor", "kept_for"], "`CacheFor`, `cache_for`"),
    (&["KeepAnswers"], "`IdempotencyStore`"),
    (&["WithoutRedis", "WhenAway", "Away"], "`WhenBackendDown`, `WhenUnavailable`, `Unavailable`"),
    (&["PATIENCE", "patience"], "`TIMEOUT`, `timeout`"),
    (&["Pressure", "Bodies"], "`LoadShedder`, `BodyMemory`"),
    (&["Lane", "Lanes", "lane", "lanes", "LANES"], "worker, pipeline or reader slot: which of the three it is"),
    (&["Witness", "witness"], "`CommitHook`, `commit_hook`"),
    (&["Touched", "Touching", "touched", "touching"], "`Invalidation`, `PendingInvalidation`"),
    (&["Reactions", "Reaction", "reactions"], "`EventHandlers`, `event_handlers`"),
    (&["Desk", "DESK", "desk"], "what it holds: `WriterConnection`, `JobQueue`"),
    (&["Debt", "Debts", "debts"], "`InFlight`, `OfflineUsage`"),
    (&["Stamps", "stamps"], "`Generation`"),
    (&["Changing"], "`InvalidationGuard`"),
    (&["undelivered", "Undelivered"], "`PendingInvalidations`"),
    (&["popularity"], "frequency sketch"),
    (&["Ear", "Voice", "Air"], "`Subscriber`, `Publisher`, `Fanout`"),
    (&["era"], "run id"),
    (&["Refusals"], "`DeniedCache`"),
    (&["Standing", "standings"], "`BucketState`"),
    (&["Tidying", "Broom", "tidy"], "`Cleanup`"),
    (&["Patient", "examine"], "`CheckContext`, `check`"),
    (&["doubt_all"], "`invalidate_all`"),
    (&["Contender", "contender", "contenders"], "`Target`, `target`"),
    (&["Versus", "Journal", "World"], "`Comparison`, `RunLog`, `Fixtures`"),
];

/// File names without `.rs` that say nothing to a newcomer, by where they stood.
const FILES: &[(&str, &[&str])] = &[
    (
        "crates/web/",
        &[
            "patience", "pressure", "bound", "bodies", "layer", "client", "caller", "input", "output", "object",
            "check", "pages", "language", "change",
        ],
    ),
    (
        "crates/store/",
        &[
            "witness",
            "touch",
            "reactions",
            "desk",
            "home",
            "member",
            "limit",
            "turn",
            "lanes",
            "alike",
            "slow",
            "scope",
            "raw",
            "text",
            "rolling",
        ],
    ),
    (
        "crates/cache/",
        &[
            "flight",
            "ledger",
            "changing",
            "plan",
            "shared",
            "remote",
            "undelivered",
            "popularity",
            "ear",
            "line",
            "link",
            "route",
            "debts",
            "refusals",
        ],
    ),
    ("crates/app/", &["shared", "operations", "whole", "layers", "work"]),
    ("crates/cli/", &["described"]),
    ("crates/resource/", &["kept", "selection"]),
    ("crates/testkit/", &["suite", "contract", "wire", "reply"]),
    ("domains/auth/", &["ended", "news", "past", "examine"]),
    ("xtask/", &["outside", "drill", "walls", "direction", "child", "texts"]),
];

/// Words that no page for readers uses.
const PROSE: &[(&str, &str)] = &[
    ("lane", "worker thread, pipeline or reader slot"),
    ("lanes", "worker threads, pipelines or reader slots"),
    ("anew", "again"),
    ("whoever", "the caller, the client, a node: who it is"),
    ("reactions", "event handlers"),
];

/// Pages that tell how things were, and other people's code.
const HISTORY: &[&str] = &["CHANGELOG.md", "docs/decisions/", "docs/results/", "lab/results/", "lab/targets/"];

/// Judges every source and page.
pub fn check(workspace: &Workspace) -> Result<()> {
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
                let is_retired = |(place, names): &(&str, &[&str])| file.starts_with(place) && names.contains(&&*name);
                if !is_tested && FILES.iter().any(is_retired) {
                    found.push(format!("{file}: a file is not called `{name}`"));
                }
                found.extend(identifiers(&file, &workspace.read(&file)?)?);
            }
            Some("md") => found.extend(prose(&file, &workspace.read(&file)?)),
            _ => {}
        }
    }
    check::none_of(&found)
}

fn identifiers(file: &str, source: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for token in tokens(source).with_context(|| file.to_owned())?.iter().filter(|token| !token.is_string) {
        for (words, instead) in IDENTIFIERS {
            if words.contains(&token.text.as_str()) {
                found.push(format!("{file}:{}: `{}` is {instead} now", token.line, token.text));
            }
        }
    }
    Ok(found)
}

/// Words outside code.
fn prose(file: &str, text: &str) -> Vec<String> {
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
                if let Some((_, instead)) = PROSE.iter().find(|(retired, _)| retired.eq_ignore_ascii_case(word)) {
                    found.push(format!("{file}:{number}: for `{word}` write {instead}"));
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
        let found = identifiers("a.rs", source).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a.rs:2: `Reply` is") && found[1].starts_with("a.rs:3: `lanes` is"), "{found:?}");
    }

    #[test]
    fn a_retired_word_is_found_in_prose_alone() {
        let page = "A lane, `lane`.\n```\nlane\n```\nWhoever planes.\n";
        assert_eq!(prose("a.md", page).len(), 2);
    }
}
