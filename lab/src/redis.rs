//! A private Redis for one run: nothing on disk, on one core if one is named; and what it cost.

use anyhow::{Context, Result};
use devservers::RedisServer;

use crate::process::{self, Usage};

/// A running server. Dropped, it stops.
pub struct Redis(RedisServer);

impl Redis {
    /// Starts one on `core`. It writes nothing to disk, as a cache is run: its snapshots would come out of whatever is
    /// measured at that moment.
    pub fn start(core: Option<usize>) -> Result<Self> {
        RedisServer::under(&process::core_words(core), &[]).map(Self)
    }

    /// Where it is, for its clients.
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// Forgets everything: the next client finds what the first one found.
    pub fn clear(&self) -> Result<()> {
        self.0.cli(&["FLUSHALL"]).map(drop)
    }

    /// What the server has used so far.
    pub fn usage(&self) -> Result<Usage> {
        process::usage(self.0.pid().context("this Redis is not running")?.unsigned_abs())
    }
}
