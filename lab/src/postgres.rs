//! A private PostgreSQL for one run: as it comes, every commit flushed, on one core if one is named; and what it cost.

use std::ops::Deref;

use anyhow::Result;
use devservers::{Durability, Tuning};

use crate::lab::Lab;
use crate::process::{self, Usage};

/// A running server. Dropped, it stops.
pub struct Postgres(devservers::Postgres);

impl Postgres {
    /// Makes a cluster and starts it on `core`.
    pub fn start(lab: &Lab, core: Option<usize>) -> Result<Self> {
        let tuning = Tuning { under: process::core_words(core), settings: vec!["shared_buffers=512MB".to_owned()] };
        devservers::Postgres::start_tuned(Durability::Full, tuning, &lab.stop).map(Self)
    }

    /// Makes an empty database, in place of one that had the name, and returns its URL.
    pub fn fresh(&self, database: &str) -> Result<String> {
        self.0.copy("template0", database)
    }

    /// What the server has used so far.
    pub fn usage(&self) -> Result<Usage> {
        process::usage(self.0.pid().unsigned_abs())
    }
}

impl Deref for Postgres {
    type Target = devservers::Postgres;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use devservers::Stop;

    use super::*;

    #[test]
    fn it_runs_on_a_core_and_tells_what_it_cost() {
        let lab = Lab::open(Stop::default()).unwrap();
        let postgres = Postgres::start(&lab, Some(0)).unwrap();
        let cores =
            process::output(std::process::Command::new("taskset").args(["-p", "-c", &postgres.pid().to_string()]));
        assert!(cores.unwrap().trim().ends_with(": 0"));
        assert!(postgres.fresh("one").unwrap().ends_with("/one"));
        postgres.psql("one", "create table t (n int)").unwrap();
        postgres.fresh("one").unwrap();
        assert!(postgres.psql("one", "select * from t").is_err(), "it is empty again");
        assert_eq!(postgres.psql("one", "show shared_buffers").unwrap(), "512MB\n");
        assert!(postgres.usage().unwrap().rss_kib > 0);
        assert!(postgres.log().unwrap().contains("relation \"t\" does not exist"));
    }
}
