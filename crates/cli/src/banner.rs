use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use web::ApiBuilder;

use super::Program;
use super::settings::Loaded;
use app::shown_url;
use app::{Mode, RunningApp, Settings};

/// What a person reads first: where everything is, and what to do next. Names nothing that is not there.
pub fn text(
    program: &Program<'_>,
    loaded: &Loaded,
    running: &RunningApp,
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
    line("Data", &place(settings));
    if settings.cache.url.expose() != "memory:" {
        line("Cache", &shown_url(settings.cache.url.expose()));
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
fn place(settings: &Settings) -> String {
    match settings.database.sqlite_file() {
        Some(file) => std::path::absolute(&file).unwrap_or_else(|_| file.into()).display().to_string(),
        None => shown_url(settings.database.url.expose()),
    }
}

/// The flags under which another command finds the same data.
fn flags(loaded: &Loaded) -> String {
    let mut flags = String::new();
    if let Some(config) = &loaded.config {
        let _ = write!(flags, " --config {}", quoted(config));
    }
    if loaded.data != Path::new("data") {
        let _ = write!(flags, " --data {}", quoted(&loaded.data));
    }
    flags
}

/// A path as a shell reads it back.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "_./-+@:".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_shell_would_read_it_otherwise() {
        for (path, shown) in [("data/x-1", "data/x-1"), ("q?x=1", "'q?x=1'"), ("a b", "'a b'"), ("it's", "'it'\\''s'")]
        {
            assert_eq!(quoted(Path::new(path)), shown);
        }
    }
}
