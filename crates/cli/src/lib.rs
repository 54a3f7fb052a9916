#![doc = include_str!("../README.md")]

mod banner;
mod cli;
mod command;
mod completions;
mod copy;
mod descriptors;
mod doctor;
mod introspect;
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

use crate::cli::{ConfigVerb, DbVerb, ServeArgs, Verb};
use crate::settings::Purpose;
use app::{App, Ignored, Settings};

/// Makes a program of an app: `fn main() -> ExitCode { mainstay::run(app) }`.
///
/// It serves, and has the commands that keep a server: `migrate`, `db copy`, `doctor`, `openapi`, `config`, `errors`, `completions`, and those
/// that the app's domains bring ([`Domain::command`](app::Domain::command)); `--help` tells all of them. Settings come
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
            Verb::Serve(ServeArgs { listen }) => {
                let reserve = |settings: &Settings| serve::reserve(&self.name, settings);
                let sections = self.app().sections();
                let (loaded, reserved) = settings::load_after(sections, flags, listen, Purpose::Serve, reserve)?;
                serve::serve(self, &loaded, reserved)
            }
            Verb::Migrate => self.migrate(&load(None, Purpose::Migrate)?),
            Verb::Db { verb: DbVerb::Copy { from, to } } => copy::copy(self, &from, to, &load(None, Purpose::Look)?),
            Verb::Openapi => {
                let described = introspect::start(self.app())?;
                say(std::str::from_utf8(&described.api.document()[..]).context("the document is not text")?)
            }
            Verb::Errors => say(&reference::errors(&self.name, &introspect::start(self.app())?.api)),
            Verb::Config { verb } => self.config(&verb, flags),
            Verb::Doctor { json } => return doctor::run(self, flags, json),
            Verb::Completions { shell } => say(&completions::script(self, shell)?),
            Verb::Brought(invoked) => command::invoke(self, *invoked, &load(None, Purpose::Serve)?),
        }?;
        Ok(ExitCode::SUCCESS)
    }

    /// Says what was done. That it cannot be said undoes nothing, and is no failure of what was asked for.
    fn tell(&self, text: &str) {
        if let Err(error) = say(text) {
            terminal::complain(&self.name, &format!("{error:#}; what was asked for is done all the same"));
        }
    }

    fn config(&self, verb: &ConfigVerb, flags: &cli::Flags) -> Result<()> {
        let sections = self.app().sections();
        match verb {
            ConfigVerb::Show => {
                let loaded = settings::load(sections, flags, None, Purpose::Look)?;
                say(&format!("{}{}", loaded.settings.show(), not_read(&loaded.ignored, "\n# ")))
            }
            ConfigVerb::Check => {
                let loaded = settings::load(sections, flags, None, Purpose::Look)?;
                let not_read = not_read(&loaded.ignored, "\n");
                say(&format!("The settings are good: {}.{not_read}", loaded.sources.join(", then ")))
            }
            ConfigVerb::Default => say(&reference::default_file(&self.name, &settings::all(sections))),
            ConfigVerb::Reference => say(&reference::settings(&self.name, &settings::all(sections))),
        }
    }

    fn migrate(&self, loaded: &settings::Loaded) -> Result<()> {
        let _log = serve::log(loaded)?;
        serve::runtime(&loaded.settings)?.block_on(async {
            let (store, applied) = self.app().migrate(&loaded.settings, &Clock::system()).await?;
            store.close().await;
            for step in &applied {
                self.tell(&format!("applied {} {}", step.domain, step.name));
            }
            self.tell(match applied.len() {
                0 => "The database is up to date; there was nothing to do.",
                _ => "The database is up to date.",
            });
            Ok(())
        })
    }
}

/// A line for each variable that was not read.
fn not_read(ignored: &[Ignored], before: &str) -> String {
    ignored.iter().map(|Ignored { name, why }| format!("{before}{name} {why}: it is not read.")).collect()
}

/// Prints a text and a line end, where the text is what was asked for. A closed pipe is no error (`mainstay openapi | head`).
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
