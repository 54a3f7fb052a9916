//! `lint`: the document as two linters see it that know other people's conventions. Redocly fails on errors, Spectral on
//! everything:
//! a rule that is not ours is switched off, with its reason, in the linter's settings.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::{Room, judge};

const LIMIT: Duration = Duration::from_secs(120);

pub fn run(room: &Room<'_>) -> Result<()> {
    let here = |mut command: Command, words: &[&str]| {
        command.args(words).current_dir(&room.workspace.root);
        command
    };
    let redocly = ["lint", "--config=conformance/redocly.yaml", "--max-problems=100", "docs/openapi.json"];
    let redocly = judge(&mut here(room.installed.npm("redocly"), &redocly), room.stop, LIMIT);
    let spectral = ["lint", "--ruleset=conformance/.spectral.yaml", "--fail-severity=hint", "docs/openapi.json"];
    let spectral = judge(&mut here(room.installed.npm("spectral"), &spectral), room.stop, LIMIT);
    redocly.and(spectral)
}
