//! A private PostgreSQL that lives as long as a value of this type: free port, own directory, gone afterwards.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};

use crate::certificate;
use crate::ports::free_port;
use crate::process::{self, Process, Stop};
use crate::scratch::Scratch;
use crate::tools;

/// What the server promises about a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing is flushed: for tests, where speed counts and the data are thrown away.
    Throwaway,
    /// As PostgreSQL comes, and with page checksums: for crash drills.
    Full,
}

/// How a server that is measured differs from one that comes out of the box.
#[derive(Debug, Clone, Default)]
pub struct Tuning {
    /// Words before the server's program, such as those of `taskset`.
    pub under: Vec<String>,
    /// Settings, as in `shared_buffers=512MB`.
    pub settings: Vec<String>,
}

/// What lies on a small disk, so that it fills up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything but the log: an insert that finds no room fails.
    Tables,
    /// The log: a server that cannot write it stops.
    Log,
}

/// A small file system in memory that only its holder and the server's processes see. It goes with the last of them.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    holder: Process,
    path: PathBuf,
}

impl SmallDisk {
    fn mount(path: &Path, mebibytes: u32) -> Result<Self> {
        fs::create_dir(path).with_context(|| format!("cannot make {}", path.display()))?;
        let is_mounted = path.with_extension("mounted");
        let script = "mount -t tmpfs -o mode=777,size=$1m tmpfs \"$2\" && : > \"$3\" && exec sleep infinity";
        let mut holder = Command::new("setpriv");
        holder.args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"]);
        holder.args(["sh", "-c", script, "sh", &mebibytes.to_string()]).arg(path).arg(&is_mounted);
        let mut holder = Process::start(holder.stdin(Stdio::null()))?;
        let start = Instant::now();
        while !is_mounted.exists() {
            if holder.ended()?.is_some() || start.elapsed() > START_WITHIN {
                bail!("a file system in memory cannot be mounted; this needs root");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Self { holder, path: path.to_owned() })
    }

    /// The words that bring a program to where the disk is seen.
    fn words(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--mount=/proc/{}/ns/mnt", self.holder.pid())]
    }
}

/// A running throwaway server. Dropped, it stops and its directory goes.
#[derive(Debug)]
pub struct Postgres {
    running: Process,
    // After the server, which stands on it, and before the directory it is mounted in.
    disk: Option<SmallDisk>,
    data: PathBuf,
    home: Scratch,
    bin: PathBuf,
    port: u16,
    durability: Durability,
    tuning: Tuning,
}

const START_WITHIN: Duration = Duration::from_secs(60);
const ATTEMPTS: u32 = 3;

impl Postgres {
    /// Finds PostgreSQL (installing it where we may), makes a cluster and starts it.
    pub fn start(durability: Durability, stop: &Stop) -> Result<Self> {
        Self::start_with(durability, None, Tuning::default(), stop)
    }

    /// The same, for measuring.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn start_tuned(durability: Durability, tuning: Tuning, stop: &Stop) -> Result<Self> {
        Self::start_with(durability, None, tuning, stop)
    }

    /// The same, with one part of it on a file system of its own of this many MiB.
    pub fn start_on_small_disk(part: Part, mebibytes: u32, stop: &Stop) -> Result<Self> {
        Self::start_with(Durability::Full, Some((part, mebibytes)), Tuning::default(), stop)
    }

    fn start_with(durability: Durability, small: Option<(Part, u32)>, tuning: Tuning, stop: &Stop) -> Result<Self> {
        let bin = find_or_install(stop)?;
        let home = fresh_directory()?;
        let disk = small.map(|(_, mebibytes)| SmallDisk::mount(&home.path().join("small"), mebibytes)).transpose()?;
        let of = |part: Part, name: &str| match (&disk, small) {
            (Some(disk), Some((small, _))) if small == part => disk.path.join(name),
            _ => home.path().join(name),
        };
        let (data, log) = (of(Part::Tables, "data"), of(Part::Log, "wal"));
        let mut initdb = as_server_user(&bin.join("initdb"), disk.as_ref());
        if disk.is_some() {
            // Small segments: the log of a small disk is not all of it.
            initdb.args(["--wal-segsize=1", "--waldir"]).arg(&log);
        }
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]);
        if durability == Durability::Full {
            initdb.arg("--data-checksums");
        }
        process::output(initdb.arg("-D").arg(&data).current_dir(home.path()))
            .context("cannot make a PostgreSQL cluster")?;
        if durability == Durability::Throwaway {
            certificate::make(home.path(), || as_server_user(Path::new("openssl"), None), stop)?;
        }

        let mut attempt = 1;
        loop {
            let port = free_port()?;
            match launch(
                &Launch {
                    bin: &bin,
                    home: home.path(),
                    data: &data,
                    disk: disk.as_ref(),
                    port,
                    durability,
                    tuning: &tuning,
                },
                stop,
            ) {
                Ok(running) => return Ok(Self { running, disk, data, home, bin, port, durability, tuning }),
                // Someone else may have taken the port between our question and the server's start.
                Err(error) if attempt < ATTEMPTS && !stop.is_asked() => eprintln!("trying again: {error:#}"),
                Err(error) => return Err(error),
            }
            attempt += 1;
        }
    }

    /// A second server that follows this one, with all that it has so far.
    pub fn standby(&self, stop: &Stop) -> Result<Self> {
        let home = fresh_directory()?;
        let data = home.path().join("data");
        let mut copy = as_server_user(&self.bin.join("pg_basebackup"), None);
        copy.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()]);
        copy.args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync", "-D"]);
        process::output(copy.arg(&data).current_dir(home.path())).context("cannot make a standby")?;
        if self.durability == Durability::Throwaway {
            certificate::make(home.path(), || as_server_user(Path::new("openssl"), None), stop)?;
        }
        let port = free_port()?;
        let running = launch(
            &Launch {
                bin: &self.bin,
                home: home.path(),
                data: &data,
                disk: None,
                port,
                durability: self.durability,
                tuning: &self.tuning,
            },
            stop,
        )?;
        let bin = self.bin.clone();
        Ok(Self {
            running,
            disk: None,
            data,
            home,
            bin,
            port,
            durability: self.durability,
            tuning: self.tuning.clone(),
        })
    }

    /// The postmaster and every process it started.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let path = format!("/proc/{0}/task/{0}/children", self.running.pid());
        let children = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        Ok(std::iter::once(self.running.pid()).chain(children).collect())
    }

    /// Where tests and servers connect.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The same for another database of the cluster.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The certificate of the authority that signed the server's, which is for `localhost`.
    pub fn authority(&self) -> PathBuf {
        self.home.path().join(certificate::AUTHORITY)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its files are, for what stands before it and goes before it.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// What `psql` prints for one statement: a row a line, unaligned.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url_of(database)]);
        process::output(&mut psql)
    }

    /// Runs `pg_amcheck` over one database: heap and every index, each row looked up.
    pub fn amcheck(&self, database: &str) -> Result<()> {
        let mut amcheck = Command::new(self.bin.join("pg_amcheck"));
        amcheck.args(["--install-missing", "--heapallindexed", "--rootdescend", "-h", "127.0.0.1", "-U", "postgres"]);
        amcheck.args(["-p", &self.port.to_string(), database]);
        process::output(&mut amcheck).map(|_| ())
    }

    /// Runs a file of SQL.
    ///
    /// # Errors
    /// When a statement fails.
    pub fn psql_file(&self, database: &str, file: &Path) -> Result<()> {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"]).arg(file).arg(self.url_of(database));
        process::output(&mut psql).map(drop)
    }

    /// Makes a copy of a database nobody is connected to, in place of one that had the name, and returns its URL. A copy of
    /// `template0` is empty.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn copy(&self, database: &str, name: &str) -> Result<String> {
        self.psql("postgres", &format!("drop database if exists {name} with (force)"))?;
        self.psql("postgres", &format!("create database {name} template {database}"))?;
        Ok(self.url_of(name))
    }

    /// The postmaster's process id.
    pub fn pid(&self) -> i32 {
        self.running.pid()
    }

    /// What it has written into its log.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn log(&self) -> Result<String> {
        let path = self.home.path().join("log");
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Whether the postmaster still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.running.ended(), Ok(None))
    }

    /// A place on the small disk, as we see it from outside.
    pub fn on_small_disk(&self, name: &str) -> Option<PathBuf> {
        let disk = self.disk.as_ref()?;
        Some(PathBuf::from(format!("/proc/{}/root{}", disk.holder.pid(), disk.path.display())).join(name))
    }

    /// Ends the postmaster at once, without a checkpoint: `SIGQUIT` is its own immediate stop, `SIGKILL` a crash.
    pub fn crash(&mut self, signal: Signal) -> Result<()> {
        self.running.signal(signal)?;
        let start = Instant::now();
        while self.running.ended()?.is_none() {
            if start.elapsed() > START_WITHIN {
                bail!("the postmaster survived {signal}");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Starts it again on the same port and data after a crash; it recovers from its log.
    pub fn restart(&mut self, stop: &Stop) -> Result<()> {
        let start = Instant::now();
        loop {
            let (home, disk) = (self.home.path(), self.disk.as_ref());
            match launch(
                &Launch {
                    bin: &self.bin,
                    home,
                    data: &self.data,
                    disk,
                    port: self.port,
                    durability: self.durability,
                    tuning: &self.tuning,
                },
                stop,
            ) {
                Ok(running) => {
                    self.running = running;
                    return Ok(());
                }
                // After SIGKILL the orphaned backends hold the shared memory until they notice.
                Err(_) if start.elapsed() < START_WITHIN && !stop.is_asked() => {
                    thread::sleep(Duration::from_millis(100));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Nothing here is worth a checkpoint.
        if let Err(error) = self.running.end_group(Signal::SIGQUIT) {
            eprintln!("could not stop PostgreSQL: {error:#}");
        }
    }
}

/// What a server is started from.
struct Launch<'a> {
    bin: &'a Path,
    home: &'a Path,
    data: &'a Path,
    disk: Option<&'a SmallDisk>,
    port: u16,
    durability: Durability,
    tuning: &'a Tuning,
}

fn launch(launch: &Launch<'_>, stop: &Stop) -> Result<Process> {
    let &Launch { bin, home, data, disk, port, durability, tuning } = launch;
    let log_path = home.join("log");
    let log = File::create(&log_path).with_context(|| format!("cannot write {}", log_path.display()))?;
    let mut postgres = as_server_user_under(&tuning.under, &bin.join("postgres"), disk);
    postgres.arg("-D").arg(data).args(["-p", &port.to_string()]).arg("-k").arg(home);
    postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300"]);
    postgres.args(tuning.settings.iter().flat_map(|setting| ["-c", setting]));
    if durability == Durability::Throwaway {
        postgres.args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]);
        let file = |name: &str| home.join(name).display().to_string();
        postgres.args(["-c", "ssl=on", "-c", &format!("ssl_cert_file={}", file("server.pem"))]);
        postgres.args(["-c", &format!("ssl_key_file={}", file("server.key"))]);
    }
    postgres.current_dir(home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut running = Process::start(&mut postgres)?;

    let start = Instant::now();
    let mut ready = Command::new(bin.join("pg_isready"));
    ready.args(["-q", "-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()]);
    loop {
        stop.check()?;
        if let Some(status) = running.ended()? {
            let said = fs::read_to_string(&log_path).unwrap_or_default();
            bail!("PostgreSQL ended with {status} instead of starting: {}", said.trim());
        }
        if process::output(&mut ready).is_ok() {
            return Ok(running);
        }
        if start.elapsed() > START_WITHIN {
            bail!("PostgreSQL did not start within {} s", START_WITHIN.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The server refuses to run as root: then it runs as the user its package made. Where `setpriv` exists the kernel
/// also stops it when we die without the chance to (`kill -9`).
pub(crate) fn as_server_user(program: &Path, disk: Option<&SmallDisk>) -> Command {
    as_server_user_under(&[], program, disk)
}

fn as_server_user_under(under: &[String], program: &Path, disk: Option<&SmallDisk>) -> Command {
    let mut words: Vec<String> = under.to_vec();
    words.extend(disk.map(SmallDisk::words).unwrap_or_default());
    let mut add = |more: &[&str]| words.extend(more.iter().map(|&word| word.to_owned()));
    if tools::find("setpriv").is_some() {
        add(&["setpriv", "--pdeathsig", "QUIT"]);
        if geteuid().is_root() {
            add(&["--reuid", "postgres", "--regid", "postgres", "--init-groups"]);
        }
    } else if geteuid().is_root() {
        add(&["runuser", "-u", "postgres", "--"]);
    }
    let mut command = process::under(&words, program);
    // Settings of a person's own server must not leak into ours.
    for name in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGSERVICE", "PGOPTIONS"] {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C");
    command
}

/// A folder that belongs to the server's user.
fn fresh_directory() -> Result<Scratch> {
    let home = Scratch::new("pg")?;
    if geteuid().is_root() {
        let user = User::from_name("postgres")
            .context("cannot look up the user postgres")?
            .context("there is no user postgres to run the database as; create it, or run this as yourself")?;
        chown(home.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .with_context(|| format!("cannot hand {} to the user postgres", home.path().display()))?;
    }
    Ok(home)
}

fn find_or_install(stop: &Stop) -> Result<PathBuf> {
    if let Some(bin) = find_binaries() {
        return Ok(bin);
    }
    tools::apt_install(&["postgresql", "postgresql-client"], stop).context("PostgreSQL is missing")?;
    find_binaries().context("PostgreSQL was installed, but its initdb is nowhere to be found")
}

/// The directory with `initdb` and `postgres`: the search path first, then Debian's newest.
fn find_binaries() -> Option<PathBuf> {
    let on_path = tools::find("initdb").and_then(|path| fs::canonicalize(path).ok());
    if let Some(bin) = on_path.as_deref().and_then(Path::parent)
        && bin.join("postgres").exists()
    {
        return Some(bin.to_owned());
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(|entry| {
        let path = entry.ok()?.path();
        let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
        path.join("bin/initdb").exists().then(|| (version, path.join("bin")))
    });
    versions.max().map(|(_, bin)| bin)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    /// The promise every other test relies on: it starts, answers, survives a crash, and leaves nothing behind.
    #[test]
    fn starts_recovers_and_leaves_nothing() {
        let stop = Stop::default();
        let mut postgres = Postgres::start(Durability::Full, &stop).unwrap();
        postgres.psql("postgres", "create table t (n int)").unwrap();
        for (n, signal) in [(1, Signal::SIGQUIT), (2, Signal::SIGKILL)] {
            postgres.psql("postgres", &format!("insert into t values ({n})")).unwrap();
            postgres.crash(signal).unwrap();
            assert!(postgres.psql("postgres", "select 1").is_err());
            postgres.restart(&stop).unwrap();
        }
        assert_eq!(postgres.psql("postgres", "select n from t order by n").unwrap(), "1\n2\n");
        postgres.amcheck("postgres").unwrap();
        let (home, port) = (postgres.home.path().to_owned(), postgres.port);
        drop(postgres);
        assert!(!home.exists());
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}
