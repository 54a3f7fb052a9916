//! The process: its arguments, environment, files, signals and exit codes. Nothing else in the house knows any of them.

mod banner;
mod cli;
mod command;
mod completions;
mod copy;
mod described;
mod doctor;
mod prompt;
mod reference;
mod secret;
mod serve;
mod settings;
mod terminal;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use kernel::Clock;

use crate::App;
use crate::run::cli::{ConfigVerb, DbVerb, ServeArgs, Verb};
use crate::run::settings::Purpose;

pub use command::{Command, Invocation};
pub use doctor::{Finding, Patient, Severity};

/// Makes a program of an app: `fn main() -> ExitCode { mainstay::run(app) }`.
///
/// It serves, and has the commands that keep a server: `migrate`, `db copy`, `doctor`, `openapi`, `config`, `errors`, `completions`, and those
/// that the app's domains bring ([`Domain::command`](crate::Domain::command)); `--help` tells all of them. Settings come
/// from the defaults, a file, the environment and flags. SIGTERM and Ctrl-C let open requests finish. The app is asked
/// for as often as it is needed, hence a function.
pub fn run(app: impl Fn() -> App) -> ExitCode {
    #[cfg(target_os = "linux")]
    take_small_pages();
    let mut arguments = std::env::args_os().peekable();
    let typed = arguments.peek().cloned().unwrap_or_else(|| OsString::from("mainstay"));
    let program = Program { app: &app, typed: typed.to_string_lossy().into_owned(), name: name(&typed) };
    // Wrong usage ends in here, with code 2.
    let (verb, flags) = cli::parse(&program, arguments);
    match program.run(verb, &flags) {
        Ok(code) => code,
        Err(error) => {
            terminal::complain(&program.name, &format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Of huge pages each thread that needs some kilobytes would get two megabytes: 12 MiB before the first request, and not one
/// request more a second. The allocator does not ask for them (its feature `no_thp`); some systems give them unasked. Where
/// the system does not know the wish, it stays so.
#[cfg(target_os = "linux")]
fn take_small_pages() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// What the program is called, whatever folder it was called from.
fn name(typed: &OsString) -> String {
    Path::new(typed).file_stem().map_or_else(|| "mainstay".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// What runs: an app, under the name by which somebody called it.
struct Program<'a> {
    app: &'a dyn Fn() -> App,
    /// The first word of the command line, for showing another command that can be typed the same way.
    typed: String,
    name: String,
}

impl Program<'_> {
    fn app(&self) -> App {
        (self.app)()
    }

    fn run(&self, verb: Verb, flags: &cli::Flags) -> Result<ExitCode> {
        let load = |listen, purpose| settings::load(self.app().sections(), flags, listen, purpose);
        match verb {
            Verb::Serve(ServeArgs { listen }) => serve::serve(self, &load(listen, Purpose::Serve)?),
            Verb::Migrate => self.migrate(&load(None, Purpose::Migrate)?),
            Verb::Db { verb: DbVerb::Copy { from, to } } => copy::copy(self, &from, to, &load(None, Purpose::Look)?),
            Verb::Openapi => {
                let described = described::start(self.app())?;
                say(std::str::from_utf8(&described.api.document()[..]).context("the document is not text")?)
            }
            Verb::Errors => say(&reference::errors(&self.name, &described::start(self.app())?.api)),
            Verb::Config { verb } => self.config(&verb, flags),
            Verb::Doctor { json } => return doctor::run(self, flags, json),
            Verb::Completions { shell } => say(&completions::script(self, shell)?),
            Verb::Brought(invoked) => command::invoke(self, *invoked, &load(None, Purpose::Serve)?),
        }?;
        Ok(ExitCode::SUCCESS)
    }

    fn config(&self, verb: &ConfigVerb, flags: &cli::Flags) -> Result<()> {
        let sections = self.app().sections();
        match verb {
            ConfigVerb::Show => say(&settings::load(sections, flags, None, Purpose::Look)?.settings.show()),
            ConfigVerb::Check => {
                let loaded = settings::load(sections, flags, None, Purpose::Look)?;
                say(&format!("The settings are good: {}.", loaded.sources.join(", then ")))
            }
            ConfigVerb::Default => say(&reference::default_file(&self.name, &settings::all(sections))),
            ConfigVerb::Reference => say(&reference::settings(&self.name, &settings::all(sections))),
        }
    }

    fn migrate(&self, loaded: &settings::Loaded) -> Result<()> {
        let _log = serve::log(&loaded.settings)?;
        serve::runtime(&loaded.settings)?.block_on(async {
            let (store, applied) = self.app().migrate(&loaded.settings, &Clock::system()).await?;
            store.close().await;
            for step in &applied {
                say(&format!("applied {} {}", step.domain, step.name))?;
            }
            say(match applied.len() {
                0 => "The database is up to date; there was nothing to do.",
                _ => "The database is up to date.",
            })
        })
    }
}

/// Prints a text and a line end. That nobody reads on is no fault of ours (`mainstay openapi | head`).
fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let written =
        out.write_all(text.trim_end().as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}
