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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_on_a_core_and_forgets() {
        let redis = Redis::start(Some(0)).unwrap();
        redis.0.cli(&["SET", "a", "1"]).unwrap();
        redis.clear().unwrap();
        assert_eq!(redis.0.cli(&["DBSIZE"]).unwrap(), "0\n");
        assert!(redis.usage().unwrap().rss_kib > 0);
        assert!(redis.url().starts_with("redis://127.0.0.1:"));
    }
}
