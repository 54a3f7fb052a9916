//! What servers are given: databases with the same rows, a Redis, nginx in front. Each is started when it is first needed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use devservers::Process;
use devservers::free_port;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::data::{self, Seeded};
use crate::lab::{Lab, copy_folder};
use crate::mainstay;
use crate::mariadb::MariaDb;
use crate::postgres::Postgres;
use crate::process::{self, Usage};
use crate::redis::Redis;
use crate::study::plan::{DatabaseKind, Proxy};
use crate::target::{Database, Home, Placement, Target};

/// Posts that are there before anybody is timed.
pub const POSTS: usize = 10_000;
/// Quotes, whose ids begin with 1.
pub const QUOTES: usize = 1_000;
/// The databases that targets get copies of.
const OWN: &str = "seed_own";
const OTHERS: &str = "seed_others";
/// A copy for whoever is running.
const COPY: &str = "running";

/// All of it. Dropped, everything stops.
pub struct Fixtures<'a> {
    lab: &'a Lab,
    /// The one that makes the rows: Mainstay's.
    maker: &'a Target,
    sqlite: Option<Seeded>,
    postgres: Option<(Postgres, Seeded)>,
    mariadb: Option<MariaDb>,
    redis: Option<Redis>,
    /// What others with a database of their own have in it: its folder and its posts.
    own: BTreeMap<String, (PathBuf, Vec<Value>)>,
    quotes: Vec<(i64, String, String)>,
}

impl<'a> Fixtures<'a> {
    /// Nothing runs yet.
    pub fn new(lab: &'a Lab, maker: &'a Target) -> Self {
        Self {
            lab,
            maker,
            sqlite: None,
            postgres: None,
            mariadb: None,
            redis: None,
            own: BTreeMap::new(),
            quotes: Vec::new(),
        }
    }

    /// A fresh copy of the database, for one target. Other things of a home are left empty.
    pub fn fresh(&mut self, target: &Target, kind: DatabaseKind) -> Result<Home> {
        let is_own = matches!(target.database, Database::Own | Database::OwnPostgres);
        match kind {
            DatabaseKind::Sqlite => {
                self.need_sqlite()?;
                if is_own && target.name != self.maker.name {
                    self.need_own(target)?;
                }
                let seeded = self.sqlite.as_ref().context("just made")?;
                let data = self.lab.folder(COPY)?;
                let mut home = Home { data: data.clone(), ..Home::default() };
                let file = if is_own {
                    let from = match self.own.get(&target.name) {
                        Some((folder, _)) => folder,
                        None => &seeded.own.data,
                    };
                    copy_folder(from, &data)?;
                    data.join(own_file(target)?)
                } else {
                    let file = data.join("study.db");
                    fs::copy(&seeded.others.database_file, &file).context("cannot copy the database")?;
                    file
                };
                home.database_file.clone_from(&file);
                home.database_url = format!("sqlite://{}", file.display());
                Ok(home)
            }
            DatabaseKind::Postgres => {
                self.need_postgres()?;
                let (server, _) = self.postgres.as_ref().context("just made")?;
                let url = server.copy(if is_own { OWN } else { OTHERS }, COPY)?;
                Ok(Home { data: self.lab.folder(COPY)?, database_url: url, ..Home::default() })
            }
            DatabaseKind::MariaDb => {
                ensure!(!is_own, "{} does not speak MariaDB", target.name);
                self.need_mariadb()?;
                let server = self.mariadb.as_ref().context("just made")?;
                let url = server.fresh(COPY)?;
                let file = self.lab.scratch.join("seed-others.sql");
                fs::write(&file, self.others_sql("1", "0")?).context("cannot write the rows")?;
                server.run_file(COPY, &file)?;
                Ok(Home { data: self.lab.folder(COPY)?, database_url: url, ..Home::default() })
            }
        }
    }

    /// Changes something in a fresh copy behind the back of who runs on it.
    pub fn change(&self, kind: DatabaseKind, home: &Home, sql: &str) -> Result<()> {
        match kind {
            DatabaseKind::Sqlite => {
                let mut sqlite = Command::new("sqlite3");
                // Whoever is measured may be writing.
                sqlite.args(["-bail", "-cmd", ".timeout 5000"]).arg(&home.database_file).arg(sql);
                process::output(&mut sqlite).map(drop)
            }
            DatabaseKind::Postgres => self.postgres()?.psql(COPY, sql).map(drop),
            DatabaseKind::MariaDb => self.mariadb.as_ref().context("no MariaDB runs")?.run(COPY, sql),
        }
    }

    /// The quotes as they were written.
    pub fn quotes(&self) -> &[(i64, String, String)] {
        &self.quotes
    }

    /// The posts as a target answers them, oldest first.
    pub fn posts(&self, target: &Target, kind: DatabaseKind) -> Result<Vec<&Value>> {
        let all = match kind {
            DatabaseKind::Sqlite if self.own.contains_key(&target.name) => {
                self.own.get(&target.name).map(|(_, posts)| posts)
            }
            DatabaseKind::Sqlite | DatabaseKind::MariaDb => self.sqlite.as_ref().map(|seeded| &seeded.posts),
            DatabaseKind::Postgres => self.postgres.as_ref().map(|(_, seeded)| &seeded.posts),
        };
        Ok(all.context("no rows were made")?.iter().filter(|post| post["published"] == true).collect())
    }

    /// Has a Redis with nothing in it, beside the driver; its URL.
    pub fn clear_redis(&mut self) -> Result<String> {
        if self.redis.is_none() {
            self.redis = Some(Redis::start(Placement::PINNED.driver)?);
        }
        let redis = self.redis()?;
        redis.clear()?;
        Ok(redis.url())
    }

    /// How many rows of a table PostgreSQL says it read for whoever is running.
    pub fn rows_read(&self, table: &str) -> Result<f64> {
        let sql = format!(
            "select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables where relname = '{table}'"
        );
        self.postgres()?.psql(COPY, &sql)?.trim().parse().context("PostgreSQL counts no rows")
    }

    fn postgres(&self) -> Result<&Postgres> {
        Ok(&self.postgres.as_ref().context("no PostgreSQL runs")?.0)
    }

    /// The running Redis.
    pub fn redis(&self) -> Result<&Redis> {
        self.redis.as_ref().context("no Redis was started")
    }

    /// What the database server has used so far; nothing for a file.
    pub fn database_usage(&self, kind: DatabaseKind) -> Result<Usage> {
        match kind {
            DatabaseKind::Sqlite => Ok(Usage::default()),
            DatabaseKind::Postgres => self.postgres()?.usage(),
            DatabaseKind::MariaDb => self.mariadb.as_ref().context("no MariaDB runs")?.usage(),
        }
    }

    fn need_sqlite(&mut self) -> Result<()> {
        if self.sqlite.is_some() {
            return Ok(());
        }
        let seeded = Seeded::sqlite(self.lab, self.maker, "study", POSTS)?;
        let own = seeded.own.data.join(own_file(self.maker)?);
        let printed = process::output(
            Command::new("sqlite3").args(["-json"]).arg(&own).arg("select id, words, author from quotes order by id"),
        )?;
        let rows: Vec<Value> = serde_json::from_str(&printed).context("cannot read the quotes")?;
        let quote =
            |row: &Value| Some((row["id"].as_i64()?, row["words"].as_str()?.into(), row["author"].as_str()?.into()));
        self.quotes = rows.iter().filter_map(quote).collect();
        ensure!(self.quotes.len() == QUOTES, "{} quotes instead of {QUOTES}", self.quotes.len());
        let file = self.lab.scratch.join("quotes.sql");
        fs::write(&file, self.quotes_sql()).context("cannot write the quotes")?;
        data::sqlite(&seeded.others.database_file, &file)?;
        // One file is copied, so nothing may be left in the log beside it.
        for file in [&seeded.others.database_file, &own] {
            process::output(Command::new("sqlite3").arg(file).arg("pragma wal_checkpoint(truncate)"))?;
        }
        self.sqlite = Some(seeded);
        Ok(())
    }

    /// Has one with a database of its own write the posts over its API, once.
    fn need_own(&mut self, target: &Target) -> Result<()> {
        if self.own.contains_key(&target.name) {
            return Ok(());
        }
        let data = self.lab.folder(&format!("seed-{}", target.name))?;
        let how = target.study.as_ref().and_then(|study| study.log_in.as_ref());
        let how = how.with_context(|| format!("{} has its own database and no log-in", target.name))?;
        let home = Home { data: data.clone(), env: target.at("database=sqlite"), ..Home::default() };
        let server = target.start(self.lab, Placement::FREE, &home)?;
        if let Some(path) = &how.register {
            mainstay::register_at(server.address, path)?;
        }
        let token = mainstay::log_in_at(server.address, how)?;
        let (path, status) = (&target.paths.posts, target.create_status);
        let posts = data::posts(server.address, path, &[token], POSTS, status)?;
        server.stop()?;
        let file = data.join(own_file(target)?);
        process::output(Command::new("sqlite3").arg(&file).arg("pragma wal_checkpoint(truncate)"))?;
        self.own.insert(target.name.clone(), (data, posts));
        Ok(())
    }

    fn need_postgres(&mut self) -> Result<()> {
        if self.postgres.is_some() {
            return Ok(());
        }
        // The quotes come from there.
        self.need_sqlite()?;
        let server = Postgres::start(self.lab, Placement::PINNED.driver)?;
        let seeded = Seeded::postgres(self.lab, self.maker, &server, "seed", POSTS)?;
        let file = self.lab.scratch.join("quotes.sql");
        server.psql_file(OTHERS, &file)?;
        server.psql(OTHERS, "vacuum analyze")?;
        self.postgres = Some((server, seeded));
        Ok(())
    }

    fn need_mariadb(&mut self) -> Result<()> {
        if self.mariadb.is_some() {
            return Ok(());
        }
        self.need_sqlite()?;
        self.mariadb = Some(MariaDb::start(self.lab, Placement::PINNED.driver)?);
        Ok(())
    }

    fn quotes_sql(&self) -> String {
        let value = |(id, words, author): &(i64, String, String)| {
            format!("({id}, '{}', '{}')", words.replace('\'', "''"), author.replace('\'', "''"))
        };
        let values: Vec<String> = self.quotes.iter().map(value).collect();
        format!("{}insert into quotes values {};\n", data::QUOTES_SCHEMA, values.join(", "))
    }

    fn others_sql(&self, yes: &str, no: &str) -> Result<String> {
        let seeded = self.sqlite.as_ref().context("no rows were made")?;
        Ok(format!("{}{}{}", data::SCHEMA, self.quotes_sql(), seeded.sql(yes, no)?))
    }
}

fn own_file(target: &Target) -> Result<&str> {
    let file = target.study.as_ref().and_then(|study| study.own_file.as_deref());
    file.with_context(|| format!("{} does not say which file its database is: own_file in [study]", target.name))
}

/// nginx between a driver and a server. Dropped, it stops.
pub struct Nginx {
    running: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Nginx {
    /// Starts it on the server's core: what it costs is part of what an answer costs.
    pub fn start(lab: &Lab, core: Option<usize>, proxy: Proxy, upstream: SocketAddr) -> Result<Self> {
        ensure!(
            find_nginx().is_some(),
            "nginx is not installed (on Debian or Ubuntu: sudo apt-get install nginx-light)"
        );
        let home = lab.folder("nginx")?;
        for folder in ["body", "proxy"] {
            fs::create_dir(home.join(folder)).context("cannot make a folder")?;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let file = home.join("nginx.conf");
        fs::write(&file, configuration(proxy, address, upstream)).context("cannot write nginx's configuration")?;
        let errors = File::create(home.join("stderr")).context("cannot write a log")?;
        let mut command = process::on_core(core, find_nginx().unwrap_or("nginx"));
        command.arg("-p").arg(&home).arg("-c").arg(&file).args(["-e", "stderr"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let mut nginx = Self { running: Process::start(&mut command)?, address };
        let start = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            if nginx.running.ended()?.is_some() || start.elapsed() > Duration::from_secs(10) {
                bail!("nginx did not start: {}", fs::read_to_string(home.join("stderr")).unwrap_or_default().trim());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(nginx)
    }

    /// What it has used so far.
    pub fn usage(&self) -> Result<Usage> {
        process::usage(self.running.pid().unsigned_abs())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Err(error) = self.running.end_group(Signal::SIGTERM) {
            eprintln!("could not stop nginx: {error:#}");
        }
    }
}

fn find_nginx() -> Option<&'static str> {
    // Debian keeps it where only root looks.
    ["nginx", "/usr/sbin/nginx"].into_iter().find(|program| process::is_there(program))
}

fn configuration(proxy: Proxy, listen: SocketAddr, upstream: SocketAddr) -> String {
    let is_tuned = proxy != Proxy::NginxUntuned;
    let log = if is_tuned { "off" } else { "access.log" };
    let kept = if is_tuned { "keepalive 256; keepalive_requests 1000000;" } else { "" };
    let reuse = if is_tuned { "proxy_http_version 1.1; proxy_set_header Connection \"\";" } else { "" };
    let gzip = if proxy == Proxy::NginxGzip {
        "gzip on; gzip_comp_level 6; gzip_min_length 1024; gzip_proxied any; gzip_types application/json;"
    } else {
        ""
    };
    // One process, since what is measured has one core.
    format!(
        "daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 65536; pid nginx.pid;\n\
         events {{ worker_connections 16384; }}\n\
         http {{\n\
         access_log {log}; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path proxy; \
         uwsgi_temp_path proxy; scgi_temp_path proxy; keepalive_requests 1000000;\n\
         {gzip}\n\
         upstream server {{ server {upstream}; {kept} }}\n\
         server {{ listen {listen} backlog=4096; location / {{ proxy_pass http://server; proxy_set_header Host $host; \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; {reuse} }} }}\n\
         }}\n"
    )
}
