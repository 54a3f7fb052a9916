//! A private nginx in front of several nodes, with the configuration that the how-to shows.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{Process, Stop};
use crate::tools;

const START_WITHIN: Duration = Duration::from_secs(20);

/// What operators are shown. Its addresses are replaced by ours, and nothing else is.
const SITE: &str = include_str!("nginx.conf.txt");
const FIRST_NODE: &str = "    server 10.0.0.1:8080 ";
const LISTEN: &str = "    listen 80;\n";

/// From which address it speaks to the nodes. Not 127.0.0.1, from which clients come: what is trusted of the proxy must
/// not be trusted of them.
pub const PROXY_ADDRESS: &str = "127.0.0.2";

/// A running nginx. Dropped, it is killed; its files are in the folder it was given.
#[derive(Debug)]
pub struct Nginx {
    running: Process,
    port: u16,
    errors: PathBuf,
}

impl Nginx {
    /// Finds nginx (installing it where we may), and starts it on `port` in front of `nodes`.
    pub fn start(folder: &Path, port: u16, nodes: &[u16], stop: &Stop) -> Result<Self> {
        let program = match find() {
            Some(program) => program,
            None => {
                tools::apt_install(&["nginx-light"], stop).context("nginx is missing")?;
                find().context("nginx was installed, and is nowhere to be found")?
            }
        };
        let (config, errors) = (folder.join("nginx.conf"), folder.join("nginx.errors"));
        fs::write(&config, whole(folder, &site(port, nodes)))
            .with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = Command::new(program);
        command.arg("-p").arg(folder).arg("-c").arg(&config).arg("-e").arg(&errors);
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut nginx = Self { running: Process::start(&mut command)?, port, errors };
        nginx.wait(stop)?;
        Ok(nginx)
    }

    fn wait(&mut self, stop: &Stop) -> Result<()> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            stop.check()?;
            if !self.is_running() || start.elapsed() > START_WITHIN {
                bail!("nginx does not answer: {}", self.errors());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Its port on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.running.ended(), Ok(None))
    }

    /// What it complained about.
    pub fn errors(&self) -> String {
        fs::read_to_string(&self.errors).unwrap_or_default()
    }
}

fn find() -> Option<PathBuf> {
    // Debian puts it where a person's search path does not lead.
    tools::find("nginx").or_else(|| Some(PathBuf::from("/usr/sbin/nginx")).filter(|path| path.exists()))
}

/// The site with our ports in the place of the example's addresses.
fn site(port: u16, nodes: &[u16]) -> String {
    let mut text = String::new();
    for line in SITE.replace(LISTEN, &format!("    listen 127.0.0.1:{port};\n")).lines() {
        if let Some(rest) = line.strip_prefix(FIRST_NODE) {
            for node in nodes {
                text.push_str(&format!("    server 127.0.0.1:{node} {rest}\n"));
            }
        } else if !line.starts_with("    server 10.0.0.") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// What Debian's own file has around a site, for a process of ours in a folder of its own.
fn whole(folder: &Path, site: &str) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {};\n", at(name)))
        .collect();
    format!(
        "daemon off;\nworker_processes 2;\npid {};\nevents {{ worker_connections 4096; }}\nhttp {{\naccess_log off;\n\
         {folders}proxy_bind {PROXY_ADDRESS};\n{site}}}\n",
        at("nginx.pid")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_ports_stand_where_the_example_has_addresses() {
        let text = site(4711, &[1, 2]);
        assert!(text.contains("    listen 127.0.0.1:4711;\n"), "{text}");
        for node in ["127.0.0.1:1", "127.0.0.1:2"] {
            assert!(text.contains(&format!("    server {node} max_fails=1 fail_timeout=2s;\n")), "{text}");
        }
        assert!(!text.contains("    server 10.") && !text.contains("    listen 80;"), "{text}");
        assert_eq!(text.matches("    server 127.0.0.1:").count(), 2);
    }
}
