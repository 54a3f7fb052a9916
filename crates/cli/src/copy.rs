//! `db copy`: a running product's rows, from SQLite to PostgreSQL.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kernel::Clock;
use store::{CopyProgress, CopyStage, StoreSettings};

use super::settings::Loaded;
use super::{Program, serve, terminal};

/// How often the progress of a slow table is logged.
const TOLD_EVERY: Duration = Duration::from_secs(1);

pub(super) fn copy(program: &Program<'_>, from: &str, to: Option<String>, loaded: &Loaded) -> Result<()> {
    let _log = serve::log(loaded)?;
    let named = &loaded.settings.database;
    let to = match to {
        // What else is said of the database is said of the one in the settings.
        Some(url) => StoreSettings { pool_size: named.pool_size, ..StoreSettings::at(url) },
        None if named.url.expose().starts_with("postgres") => named.clone(),
        None => bail!("there is no server to copy to; name it in database.url, or with `--to postgres://…`"),
    };
    let from = StoreSettings { wait_ms: named.wait_ms, ..StoreSettings::at(from) };
    let sets = program.app().migration_sets();
    let mut told = CopyProgressPrinter { last: Instant::now() };
    let copied = serve::runtime(&loaded.settings)?
        .block_on(store::copy(&from, &to, &sets, &Clock::system(), &mut |progress| told.tell(progress)))
        .context("the copy is not whole")?;
    let again = if copied.is_resumed { ", some of them in an earlier run" } else { "" };
    program.tell(&format!(
        "{} rows of {} tables were copied{again}; all were read again on both sides and are the same.\n\
         Next: set database.url to the server, keep secret_key as it is (the signing keys came along, sealed with it), and \
         start. The file was not changed.",
        grouped(copied.rows),
        copied.tables
    ));
    Ok(())
}

struct CopyProgressPrinter {
    last: Instant,
}

impl CopyProgressPrinter {
    /// On standard error, which nobody's script reads: each table's end, and once a second what is between.
    fn tell(&mut self, progress: CopyProgress<'_>) {
        let CopyProgress { domain, table, stage, rows, of } = progress;
        if rows < of && self.last.elapsed() < TOLD_EVERY {
            return;
        }
        self.last = Instant::now();
        let stage = match stage {
            CopyStage::Copied => "copied",
            CopyStage::Verified => "verified",
        };
        terminal::note(&format!("{stage:<8}  {domain}.{table}: {} of {} rows", grouped(rows), grouped(of)));
    }
}

/// A number with a comma after each thousand.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let shown: Vec<_> = [0, 7, 100, 1000, 12_345, 1_000_000].into_iter().map(grouped).collect();
        assert_eq!(shown, ["0", "7", "100", "1,000", "12,345", "1,000,000"]);
    }
}
