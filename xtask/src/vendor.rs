//! `cargo xtask vendor-docs`: the documentation pages' scripts and styles, taken from npm at a fixed version and kept
//! compressed in the repository, so that neither a build nor a browser ever asks anyone else for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use devservers::workspace::Workspace;
use devservers::{Scratch, Stop, output, succeed, tools};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check;

const FOLDER: &str = "crates/web/assets/vendor";

/// Options of `cargo xtask vendor-docs`.
#[derive(clap::Args)]
pub struct Args {
    /// Ask nobody; compare what is kept with the checksums of the manifest.
    #[arg(long)]
    check: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    packages: Vec<Package>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Package {
    name: String,
    version: String,
    licence: String,
    /// The package's own checksum, as npm states it.
    integrity: String,
    files: Vec<Kept>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Its path in the package.
    from: String,
    /// Its name here; with `.gz` it is kept compressed.
    to: String,
    /// Of its content, uncompressed and after the replacements.
    sha256: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replace: Vec<Replacement>,
}

/// A text that stands in the file once, and what it becomes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Replacement {
    why: String,
    find: String,
    with: String,
}

/// Fetches the files and writes them, or compares them.
pub fn run(args: &Args, workspace: &Workspace, stop: &Stop) -> Result<ExitCode> {
    if args.check {
        check(workspace)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut manifest = load(workspace)?;
    let npm = tools::system_tool("npm", "npm", stop)?;
    let scratch = Scratch::new("vendor-docs")?;
    for package in &mut manifest.packages {
        let unpacked = fetch(&npm, package, scratch.path(), stop)?;
        for file in &mut package.files {
            let content = fs::read(unpacked.join(&file.from))
                .with_context(|| format!("{} {} has no {}", package.name, package.version, file.from))?;
            let content = replaced(content, file)?;
            let plain = scratch.path().join("plain");
            fs::write(&plain, content).context("cannot write the file before it is compressed")?;
            file.sha256 = sha256(&plain)?;
            let kept = workspace.root.join(FOLDER).join(&file.to);
            if file.to.ends_with(".gz") {
                // Without name and time, so that the same content gives the same bytes.
                succeed(Command::new("gzip").args(["-9", "-n", "-f", "-k"]).arg(&plain), stop)?;
                fs::copy(plain.with_extension("gz"), &kept)
            } else {
                fs::copy(&plain, &kept)
            }
            .with_context(|| format!("cannot write {}", kept.display()))?;
            println!("wrote {FOLDER}/{}", file.to);
        }
    }
    let mut text = serde_json::to_string_pretty(&manifest).context("the manifest as JSON")?;
    text.push('\n');
    fs::write(manifest_path(workspace), text).context("cannot write the manifest")?;
    Ok(ExitCode::SUCCESS)
}

/// An error that names the files whose content is not the manifest's.
pub fn check(workspace: &Workspace) -> Result<()> {
    let manifest = load(workspace)?;
    let scratch = Scratch::new("vendor-docs-check")?;
    let mut faults = Vec::new();
    let mut known = vec!["manifest.json".to_owned()];
    for file in manifest.packages.iter().flat_map(|package| &package.files) {
        let mut path = workspace.root.join(FOLDER).join(&file.to);
        if file.to.ends_with(".gz") {
            let plain = scratch.path().join("plain");
            let target = fs::File::create(&plain).context("cannot write the uncompressed file")?;
            // A damaged or absent file shows by its checksum.
            let _ = Command::new("gzip").args(["-d", "-c"]).arg(&path).stdout(target).status();
            path = plain;
        }
        if sha256(&path).ok().as_deref() != Some(&file.sha256) {
            faults.push(format!("{FOLDER}/{} is not what its manifest says: run `cargo xtask vendor-docs`", file.to));
        }
        known.push(file.to.clone());
    }
    for entry in fs::read_dir(workspace.root.join(FOLDER)).context("cannot list the vendored files")? {
        let name = entry.context("cannot list the vendored files")?.file_name().to_string_lossy().into_owned();
        if !known.contains(&name) {
            faults.push(format!("{FOLDER}/{name} is not in the manifest: delete it, or add its row"));
        }
    }
    check::none_of(&faults)
}

fn manifest_path(workspace: &Workspace) -> PathBuf {
    workspace.root.join(FOLDER).join("manifest.json")
}

fn load(workspace: &Workspace) -> Result<Manifest> {
    let path = manifest_path(workspace);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a manifest", path.display()))
}

/// Downloads one package and unpacks it; an error if it is not the one whose integrity is written down.
fn fetch(npm: &Path, package: &Package, scratch: &Path, stop: &Stop) -> Result<PathBuf> {
    let wanted = format!("{}@{}", package.name, package.version);
    let mut pack = Command::new(npm);
    pack.args(["pack", &wanted, "--json", "--silent", "--pack-destination"]).arg(scratch).current_dir(scratch);
    let answer = output(&mut pack)?;
    // Newer versions of npm answer with an object by name, older ones with a list.
    let answer: Value = serde_json::from_str(&answer).context("npm pack did not answer with JSON")?;
    let told = answer.get(0).or_else(|| answer.get(&package.name)).cloned().unwrap_or_default();
    let (Some(integrity), Some(file)) = (told["integrity"].as_str(), told["filename"].as_str()) else {
        bail!("npm pack {wanted} did not name its file and integrity: {answer}");
    };
    if integrity != package.integrity {
        bail!("{wanted} has the integrity {integrity}, and the manifest says {}", package.integrity);
    }
    let unpacked = scratch.join(&package.name);
    fs::create_dir(&unpacked).context("cannot make a folder to unpack into")?;
    succeed(Command::new("tar").arg("-xzf").arg(scratch.join(file)).arg("-C").arg(&unpacked), stop)?;
    Ok(unpacked.join("package"))
}

fn replaced(content: Vec<u8>, file: &Kept) -> Result<Vec<u8>> {
    if file.replace.is_empty() {
        return Ok(content);
    }
    let mut text = String::from_utf8(content).with_context(|| format!("{} is not text", file.from))?;
    for one in &file.replace {
        let times = text.matches(&one.find).count();
        if times != 1 {
            bail!("{}: the text to replace stands there {times} times instead of once ({})", file.from, one.why);
        }
        text = text.replace(&one.find, &one.with);
    }
    Ok(text.into_bytes())
}

fn sha256(path: &Path) -> Result<String> {
    let told = output(Command::new("sha256sum").arg("--").arg(path))?;
    Ok(told.split_whitespace().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_stands_there_once() {
        let one = |find: &str| Kept {
            from: "a.js".to_owned(),
            to: "a.js.gz".to_owned(),
            sha256: String::new(),
            replace: vec![Replacement { why: "a test".to_owned(), find: find.to_owned(), with: "2".to_owned() }],
        };
        assert_eq!(replaced(b"1 3 3".to_vec(), &one("1")).unwrap(), b"2 3 3");
        for find in ["3", "4"] {
            assert!(replaced(b"1 3 3".to_vec(), &one(find)).is_err(), "{find}");
        }
    }
}
