//! A certificate for `localhost`, of an authority of its own, as servers that take encrypted connections need it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{self, Stop};
use crate::tools;

/// The certificate of the authority, in the folder that [`make`] was given.
pub(crate) const AUTHORITY: &str = "authority.pem";

/// Makes `authority.pem`, `server.pem` and `server.key`, good for two days. `openssl` begins the command, as the user to whom
/// the files shall belong.
pub(crate) fn make(folder: &Path, openssl: impl Fn() -> Command, stop: &Stop) -> Result<()> {
    tools::system_tool("openssl", "openssl", stop).context("openssl is missing")?;
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let run = |words: &[&[&str]]| {
        process::output(openssl().args(words.concat()).current_dir(folder)).context("cannot make a certificate")
    };
    let authority = ["-keyout", "authority.key", "-out", AUTHORITY, "-subj", "/CN=an authority of the tests"];
    run(&[&["req", "-x509", "-days", "2"], &key, &authority, &["-addext", "keyUsage=critical,keyCertSign"]])?;
    let server = ["-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost"];
    run(&[&["req"], &key, &server, &["-addext", "subjectAltName=DNS:localhost"]])?;
    let sign = ["-in", "server.csr", "-CA", AUTHORITY, "-CAkey", "authority.key", "-CAcreateserial"];
    run(&[&["x509", "-req", "-days", "2", "-copy_extensions", "copy", "-out", "server.pem"], &sign])?;
    Ok(())
}
