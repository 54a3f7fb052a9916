//! How many files the process may have open (RLIMIT_NOFILE), and how many connections fit into that. Without it, a server
//! that may have 1,024 takes 1,024 connections, and has none left for its database.

use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use app::Settings;
use web::ServerSettings;

/// The log, the runtime's own, the operations listener and its connections, Redis, mail that is sent.
const OTHERS: u64 = 128;
/// The number of connections there are in any case.
const FEWEST: u64 = 16;
/// Fewer than a busy server has.
const FEW: u64 = 1024;

/// Raises the limit as far as the system lets this process, and lowers `server.max_connections` to what fits into it.
pub fn fit(settings: &mut Settings) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, all) {
            tracing::warn!(target: "mainstay::server", %error, "the limit of open files cannot be raised");
        }
    }
    // Where it could not be raised, it is what it is; none where there is no limit.
    let limit = getrlimit(Resource::Nofile).current;
    let (asked, fits) = (settings.server.max_connections as u64, connections(settings, limit));
    if fits < asked {
        // Nobody asked for the default, so a reduced one is logged only where it is few.
        let is_asked_for = settings.server.max_connections != ServerSettings::default().max_connections;
        if is_asked_for || fits < FEW {
            tracing::warn!(
                target: "mainstay::server",
                asked,
                connections = fits,
                "server.max_connections is lowered to what the limit of open files leaves; raise that (`LimitNOFILE` for \
                 systemd, `ulimit -Hn`), or lower the setting"
            );
        }
        settings.server.max_connections = usize::try_from(fits).unwrap_or(usize::MAX);
    }
}

/// How many connections fit into a limit of open files.
fn connections(settings: &Settings, limit: Option<u64>) -> u64 {
    let asked = settings.server.max_connections as u64;
    limit.map_or(asked, |limit| asked.min(limit.saturating_sub(needed_besides(settings, limit)).max(FEWEST)))
}

/// Files that are open besides the connections.
fn needed_besides(settings: &Settings, limit: u64) -> u64 {
    let database = &settings.database;
    let threads = thread::available_parallelism().map_or(4, usize::from) as u64;
    let database = if database.url.expose().starts_with("sqlite://") {
        // Each reader and the writer have the file and its log open; what they share is one more.
        2 * (database.readers as u64 + (2 * threads).clamp(4, 64) + 1) + 1
    } else {
        let standbys = database.replica_url.expose();
        let servers = 1 + if standbys.is_empty() { 0 } else { standbys.split(',').count() as u64 };
        // As many again may be cancelling statements.
        2 * servers * database.pool_size as u64 + threads
    };
    // Connections whose answer has left and whose client still sends, at most an eighth.
    OTHERS + database + limit.min(2048) / 8
}

/// What the limit of open files must be for `server.max_connections`, where this process cannot have that many.
pub fn lack(settings: &Settings) -> Option<(u64, u64)> {
    let limit = getrlimit(Resource::Nofile).maximum?;
    let asked = settings.server.max_connections as u64;
    (connections(settings, Some(limit)) < asked).then(|| (limit, asked + needed_besides(settings, asked)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_needs_is_left() {
        let mut settings = Settings::defaults(Vec::new()).unwrap();
        settings.server.max_connections = 20_000;
        assert_eq!(connections(&settings, None), 20_000);
        assert_eq!(connections(&settings, Some(1 << 20)), 20_000);
        let few = connections(&settings, Some(1024));
        assert!((500..900).contains(&few), "{few}");
        assert_eq!(connections(&settings, Some(64)), FEWEST);
        settings.database = store::StoreSettings::at("postgres://u@h/d");
        settings.database.pool_size = 200;
        assert!(connections(&settings, Some(1024)) < few - 300, "its pool is larger than SQLite's readers are many");
        settings.server.max_connections = 100;
        assert_eq!(connections(&settings, Some(1024)), 100);
    }
}
