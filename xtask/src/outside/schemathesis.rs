//! `schemathesis`: requests made from the document, answers judged by it.

use std::time::Duration;

use anyhow::Result;

use super::{Room, Served, judge};

const LIMIT: Duration = Duration::from_secs(600);

pub fn run(room: &Room<'_>, served: &Served) -> Result<()> {
    println!("against {} on {}", served.url, served.database.name());
    let mut command = room.installed.python("schemathesis");
    command.args(["--config-file", "outside/schemathesis.toml", "run"]).arg(format!("{}/openapi.json", served.url));
    served.introduce(&mut command);
    judge(command.current_dir(&room.workspace.root), room.stop, LIMIT)
}
