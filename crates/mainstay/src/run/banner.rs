use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use http::ApiBuilder;

use super::Program;
use super::settings::Loaded;
use crate::{Mode, Running};

/// What a person reads first: where everything is, and what to do next. Names nothing that is not there.
pub fn text(
    program: &Program<'_>,
    loaded: &Loaded,
    running: &Running,
    address: SocketAddr,
    operations: SocketAddr,
) -> String {
    let settings = &loaded.settings;
    let here = format!("http://{address}");
    let mode = match settings.mode {
        Mode::Development => "development mode, for this machine alone",
        Mode::Production => "production mode",
    };
    let app = program.app();
    let mut text = format!("{} {}, {mode}\n\n", app.title(), app.version());
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<10} {value}");
    };
    line("API", &format!("{here}{}", ApiBuilder::BASE_PATH));
    if settings.server.docs {
        line("Docs", &format!("{here}/docs"));
    }
    line("Document", &format!("{here}/openapi.json"));
    line("Health", &format!("{here}/health/ready"));
    line("Metrics", &format!("http://{operations}/metrics"));
    if !settings.public_url.is_empty() {
        line("Public", &settings.public_url);
    }
    line("Data", &place(settings.database.url.expose()));
    if settings.cache.url.expose() != "memory:" {
        line("Cache", &place(settings.cache.url.expose()));
    }
    line(
        "Migrated",
        &match running.applied.len() {
            0 => "nothing to do".to_owned(),
            1 => "1 step applied".to_owned(),
            n => format!("{n} steps applied"),
        },
    );

    for command in app.commands() {
        let Some((purpose, arguments)) = command.first_step else { continue };
        let (typed, path, flags) = (&program.typed, command.path, flags(loaded));
        let _ = write!(text, "\nIn another terminal, {purpose}:\n\n  {typed} {path}{flags} {arguments}\n");
    }
    text.push_str("\nCtrl-C stops the server; open requests finish first.\n");
    text
}

/// Where the data is: a file with its whole path, or a server without what is secret.
fn place(url: &str) -> String {
    match url.strip_prefix("sqlite://") {
        Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.into()).display().to_string(),
        None => {
            let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", ""));
            let rest = rest.split('?').next().unwrap_or_default();
            let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
            format!("{scheme}://{place}")
        }
    }
}

/// The flags under which another command finds the same data.
fn flags(loaded: &Loaded) -> String {
    let mut flags = String::new();
    if let Some(config) = &loaded.config {
        let _ = write!(flags, " --config {}", config.display());
    }
    if loaded.data != Path::new("data") {
        let _ = write!(flags, " --data {}", loaded.data.display());
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_without_its_password() {
        for (url, shown) in [
            ("sqlite:///var/lib/mainstay/mainstay.db", "/var/lib/mainstay/mainstay.db"),
            ("postgres://me:p%40ss@db:5432/x?password=other", "postgres://db:5432/x"),
            ("postgres://me:p@ss@db/x", "postgres://db/x"),
            ("postgresql:///x?host=/tmp", "postgresql:///x"),
        ] {
            assert_eq!(place(url), shown);
        }
    }
}
