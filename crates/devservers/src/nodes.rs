//! Several servers as one service: one PostgreSQL, one Redis, nginx in front. As in production, but on loopback.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::mainstay::{self, Launch};
use crate::nginx::{Nginx, PROXY_ADDRESS};
use crate::ports::free_port;
use crate::postgres::{Durability, Postgres};
use crate::process::{Process, Stop};
use crate::redis::RedisServer;

/// Running nodes and what they share. Dropped, all of it ends; the files are in the folder it was given.
pub struct Nodes {
    // In this order: each stands on what comes after it.
    /// The proxy in front of them.
    pub nginx: Nginx,
    nodes: Vec<Node>,
    /// What they share besides the database.
    pub redis: RedisServer,
    /// Their database.
    pub postgres: Postgres,
}

struct Node {
    launch: Launch,
    running: Option<Process>,
}

/// What to start.
pub struct NodesPlan<'a> {
    /// The server's binary.
    pub binary: &'a Path,
    /// What the database promises.
    pub durability: Durability,
    /// How many nodes.
    pub count: usize,
    /// What is added to each node's environment.
    pub variables: Vec<(String, String)>,
}

/// Where a node finds what it shares with the others, if not at the place itself.
pub struct SharedUrls {
    /// The database.
    pub database_url: String,
    /// Redis.
    pub cache_url: String,
}

impl Nodes {
    /// Starts all of it in `folder`. `through` may lead a node, by its number, to what is shared on a way of its own.
    pub fn start(
        plan: &NodesPlan<'_>,
        folder: &Path,
        stop: &Stop,
        mut through: impl FnMut(usize, SharedUrls, &Postgres, &RedisServer) -> Result<SharedUrls>,
    ) -> Result<Self> {
        let postgres = Postgres::start(plan.durability, stop)?;
        let redis = RedisServer::start()?;
        let front = free_port()?;
        let draw = || RandomState::new().build_hasher().finish();
        let common = [
            ("MAINSTAY_MODE", "production".to_owned()),
            ("MAINSTAY_PUBLIC_URL", format!("http://127.0.0.1:{front}")),
            ("MAINSTAY_SECRET_KEY", format!("{:016x}{:016x}{:016x}", draw(), draw(), draw())),
            ("MAINSTAY_SERVER__TRUSTED_PROXIES", PROXY_ADDRESS.to_owned()),
        ];
        let mut nodes = Vec::new();
        for number in 0..plan.count {
            let shared = SharedUrls { database_url: postgres.url(), cache_url: redis.url() };
            let SharedUrls { database_url, cache_url } = through(number, shared, &postgres, &redis)?;
            let data = folder.join(format!("data-{number}"));
            fs::create_dir(&data).context("cannot make a data directory")?;
            let mut variables: Vec<(String, String)> =
                common.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            variables.push(("MAINSTAY_CACHE__URL".to_owned(), cache_url));
            variables.extend(plan.variables.iter().cloned());
            let launch = Launch {
                binary: plan.binary.to_owned(),
                data,
                log: folder.join(format!("log-{number}")),
                port: free_port()?,
                database_url: Some(database_url),
                under: Vec::new(),
                variables,
            };
            let running = Some(launch.start(stop)?);
            nodes.push(Node { launch, running });
        }
        let ports: Vec<u16> = nodes.iter().map(|node| node.launch.port).collect();
        let nginx = Nginx::start(folder, front, &ports, stop)?;
        Ok(Self { nginx, nodes, redis, postgres })
    }

    /// The port that clients know.
    pub const fn front(&self) -> u16 {
        self.nginx.port()
    }

    /// Each node's own port.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.launch.port).collect()
    }

    /// How the first node is started: for commands of the same binary with the same settings.
    pub fn launch(&self) -> Option<&Launch> {
        self.nodes.first().map(|node| &node.launch)
    }

    /// Where the nodes log.
    pub fn logs(&self) -> Vec<PathBuf> {
        self.nodes.iter().map(|node| node.launch.log.clone()).collect()
    }

    /// Ends a node at once, as a crash would.
    pub fn kill(&mut self, number: usize) -> Result<()> {
        let node = self.nodes.get_mut(number).context("there is no such node")?;
        node.running.take().map_or(Ok(()), |mut running| running.end_group(Signal::SIGKILL))
    }

    /// Starts a node that was killed, and returns when it is ready.
    pub fn restart(&mut self, number: usize, stop: &Stop) -> Result<()> {
        let node = self.nodes.get_mut(number).context("there is no such node")?;
        node.running = Some(node.launch.start(stop)?);
        Ok(())
    }

    /// What has ended without having been told to.
    pub fn fallen(&mut self) -> Vec<String> {
        let is_down =
            |running: &mut Option<Process>| !running.as_mut().is_some_and(|one| matches!(one.ended(), Ok(None)));
        let mut fallen: Vec<String> = (0..)
            .zip(&mut self.nodes)
            .filter_map(|(number, node)| is_down(&mut node.running).then(|| format!("node {number}")))
            .collect();
        let others = [
            ("nginx", self.nginx.is_running()),
            ("Redis", self.redis.is_running()),
            ("PostgreSQL", self.postgres.is_running()),
        ];
        fallen.extend(others.iter().filter(|(_, runs)| !runs).map(|(name, _)| (*name).to_owned()));
        fallen
    }

    /// Stops the nodes as an operator would, one after another.
    pub fn stop_gently(mut self) -> Result<()> {
        self.nodes.iter_mut().filter_map(|node| node.running.take()).try_for_each(mainstay::stop_gently)
    }
}
