//! `browser`: `/docs` and `/redoc` as a person meets them, in Chromium, driven by `conformance/browser`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use devservers::tools;

use super::{Room, Served, judge};

const LIMIT: Duration = Duration::from_secs(900);

pub fn run(room: &Room<'_>, served: &Served) -> Result<()> {
    let chromium = tools::system_tool("chromium", "chromium", room.stop)?;
    // A module is found from where the file that asks for it is: beside the packages, not in the sources.
    let folder = room.installed.modules().with_file_name("browser");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let test = folder.join("pages.test.mjs");
    fs::copy(room.workspace.root.join("conformance/browser/pages.test.mjs"), &test)
        .with_context(|| format!("cannot copy the test to {}", test.display()))?;
    let mut node = room.installed.node();
    node.args(["--test", "--test-reporter=spec"]).arg(&test).env("MAINSTAY_CHROMIUM", chromium);
    served.introduce(&mut node);
    if let Some(folder) = &room.pictures {
        node.env("MAINSTAY_PICTURES", folder);
    }
    judge(&mut node, room.stop, LIMIT)
}
