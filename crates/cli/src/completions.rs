use anyhow::{Context, Result};
use clap_complete::Shell;

use super::{Program, cli};

/// What a shell reads to complete this program's commands and flags.
pub fn script(program: &Program<'_>, shell: Shell) -> Result<String> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut cli::command(program), program.name.clone(), &mut out);
    String::from_utf8(out).context("the script is not text")
}
