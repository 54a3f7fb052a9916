use std::ffi::OsString;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use super::Program;
use app::{Command, Invoked};

/// The commands every program has. Those of its domains are added to them, and so are its name and version.
#[derive(Debug, Parser)]
#[command(max_term_width = 80)]
struct Cli {
    /// What to do; `serve` when nothing is said.
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Flags of every verb.
    #[command(flatten)]
    flags: Flags,
}

/// Flags of every verb.
#[derive(Debug, Args)]
pub struct Flags {
    /// Settings file [default: mainstay.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the database and of a development secret [default: data]
    #[arg(long, global = true, value_name = "DIR", default_value = "data", hide_default_value = true)]
    pub data: PathBuf,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Bring the database up to date and answer requests (the default)
    Serve(ServeArgs),
    /// Bring the database up to date, say what was done, and end
    Migrate,
    /// Move a product's data
    Db {
        /// How.
        #[command(subcommand)]
        verb: DbVerb,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Look at the settings
    Config {
        /// How.
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Say what would hurt in production, and how to mend it
    ///
    /// Looks at the settings, the files, the machine and the database, and changes nothing. The exit code is 1 when something is serious.
    Doctor {
        /// Print the findings as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every error code the API answers with, as Markdown
    Errors,
    /// Print a script that completes commands and flags in a shell
    ///
    /// For bash: mainstay completions bash > ~/.local/share/bash-completion/completions/mainstay
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// A command that a domain brings.
    #[command(skip)]
    Brought(Box<Invoked>),
}

/// How to serve.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", value_parser = listen)]
    pub listen: Option<SocketAddr>,
}

/// What to do with the data.
#[derive(Debug, Subcommand)]
pub enum DbVerb {
    /// Copy every row from an SQLite file to a PostgreSQL server, and compare both
    ///
    /// The server's database must be empty. Nobody can write to the file meanwhile, and nothing starts on the server before all is there. What was stopped goes on with the same command.
    #[command(arg_required_else_help = true)]
    Copy {
        /// The file: sqlite://data/mainstay.db
        #[arg(long, value_name = "URL")]
        from: String,
        /// The server: postgres://user:password@host:5432/database [default: database.url]
        #[arg(long, value_name = "URL")]
        to: Option<String>,
    },
}

/// What to do with the settings.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print every setting in force, secrets as dots
    Show,
    /// Say whether the settings are good; touches neither network nor database
    Check,
    /// Print a settings file with every default and what it means
    Default,
    /// Print the reference of all settings, as Markdown
    Reference,
}

/// Reads the command line. Wrong usage, and what clap answers by itself (`--help`), end the process here.
pub fn parse(program: &Program<'_>, arguments: impl Iterator<Item = OsString>) -> (Verb, Flags) {
    let mut command = command(program);
    let matches = command.try_get_matches_from_mut(arguments).unwrap_or_else(|error| error.exit());
    read(program, &matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

fn read(program: &Program<'_>, matches: &ArgMatches) -> Result<(Verb, Flags), clap::Error> {
    let flags = Flags::from_arg_matches(matches)?;
    for brought in program.app().commands() {
        let mut found = Some(matches);
        for word in brought.path.split(' ') {
            found = found.and_then(|matches| matches.subcommand_matches(word));
        }
        let Some(given) = found else { continue };
        let value = |name: &str| given.get_one::<String>(name).cloned().unwrap_or_default();
        let values = brought.arguments.iter().map(|(name, _)| (*name, value(name))).collect();
        let switches = brought.switches.iter().map(|(name, _)| *name).filter(|name| given.get_flag(name)).collect();
        return Ok((Verb::Brought(Box::new(Invoked { command: brought, values, switches })), flags));
    }
    let verb = Cli::from_arg_matches(matches)?.verb;
    Ok((verb.unwrap_or(Verb::Serve(ServeArgs { listen: None })), flags))
}

/// The whole command line of a program.
pub fn command(program: &Program<'_>) -> clap::Command {
    let app = program.app();
    let mut command = Cli::command()
        .name(program.name.clone())
        .version(app.version().to_owned())
        .about(app.description().to_owned())
        .after_help(after(program, &app.commands()));
    for brought in app.commands() {
        command = match brought.path.split_once(' ') {
            None => command.subcommand(described(clap::Command::new(brought.path), &brought)),
            Some((group, name)) => {
                let one = described(clap::Command::new(name), &brought);
                let (is_there, about) = (command.find_subcommand(group).is_some(), brought.group_about);
                if is_there {
                    command.mut_subcommand(group, |group| group.subcommand(one))
                } else {
                    let group = clap::Command::new(group).about(about).subcommand_required(true);
                    command.subcommand(group.arg_required_else_help(true).subcommand(one))
                }
            }
        };
    }
    command
}

fn described(mut command: clap::Command, brought: &Command) -> clap::Command {
    command = command.about(brought.about);
    if !brought.details.is_empty() {
        command = command.long_about(format!("{}\n\n{}", brought.about, brought.details));
    }
    for (name, about) in &brought.arguments {
        command = command.arg(Arg::new(*name).value_name(name.to_uppercase()).help(*about).required(true));
    }
    for (name, about) in &brought.switches {
        command = command.arg(Arg::new(*name).long(*name).help(*about).action(ArgAction::SetTrue));
    }
    command
}

/// Examples and conventions, below the help.
fn after(program: &Program<'_>, brought: &[Command]) -> String {
    let name = &program.name;
    let mut examples = vec![
        (name.clone(), "serve on 127.0.0.1:8080"),
        (format!("{name} serve --listen 127.0.0.1:9000"), "… on another port"),
    ];
    for command in brought {
        if let Some((purpose, arguments)) = command.first_step {
            examples.push((format!("{name} {} {arguments}", command.path), purpose));
        }
    }
    examples.push((format!("{name} config default > mainstay.toml"), "a settings file to start from"));
    let width = examples.iter().map(|(command, _)| command.chars().count()).max().unwrap_or_default() + 2;
    let mut text = String::from("Examples:\n");
    for (command, purpose) in examples {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {command:<width$}{purpose}");
    }
    let _ = write!(
        text,
        "  MAINSTAY_DATABASE__URL=postgres://… {name}

Settings come from the defaults, then mainstay.toml in the working directory
(or --config), then environment variables MAINSTAY_…, then flags.

Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage."
    );
    text
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    let text = text.strip_prefix("localhost:").map_or(text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().map_err(|_| "\n  write an address and a port, as in 127.0.0.1:8080 or [::1]:8080".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use app::{App, Domain};

    fn app() -> App {
        let create = Command::new("shelf add", "Put a shelf up", |_| async { Ok(String::new()) })
            .group("Look after shelves")
            .argument("name", "What it is called")
            .switch("empty", "Without books");
        let clear = Command::new("shelf clear", "Take a shelf down", |_| async { Ok(String::new()) });
        let count = Command::new("count", "Count the books", |_| async { Ok(String::new()) });
        App::new().domain(Domain::new("library").command(create).command(clear).command(count))
    }

    fn program(app: &dyn Fn() -> App) -> Program<'_> {
        Program { app, typed: "./library".to_owned(), name: "library".to_owned() }
    }

    #[test]
    fn the_commands_are_consistent() {
        command(&program(&app)).debug_assert();
    }

    /// Every command's help, the short and the long one, as it comes out where no terminal says how wide it is.
    #[test]
    fn every_help_fits_80_columns() {
        fn look(command: &mut clap::Command) -> usize {
            for help in [command.render_help(), command.render_long_help()] {
                let help = help.to_string();
                for line in help.lines() {
                    assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
                }
            }
            1 + command.get_subcommands_mut().map(look).sum::<usize>()
        }
        let mut command = command(&program(&app));
        command.build();
        assert!(look(&mut command) > 10);
    }

    #[test]
    fn a_domains_command_is_read_with_what_was_given() {
        let program = program(&app);
        let read = |line: &str| {
            let matches = command(&program).try_get_matches_from(line.split(' '))?;
            super::read(&program, &matches)
        };
        let Verb::Brought(invoked) = read("library shelf add --data here oak --empty").unwrap().0 else { panic!() };
        assert_eq!((invoked.command.path, invoked.values), ("shelf add", vec![("name", "oak".to_owned())]));
        assert_eq!(invoked.switches, ["empty"]);
        let (Verb::Brought(invoked), flags) = read("library --data here count").unwrap() else { panic!() };
        assert_eq!((invoked.command.path, flags.data), ("count", PathBuf::from("here")));
        assert!(matches!(read("library").unwrap().0, Verb::Serve(_)));
        assert!(matches!(read("library migrate").unwrap().0, Verb::Migrate));
        for wrong in ["library shelf", "library shelf add", "library shelf clear oak", "library count --empty"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_is_read() {
        assert_eq!(listen("localhost:80").unwrap(), SocketAddr::from(([127, 0, 0, 1], 80)));
        assert_eq!(listen("[::1]:0").unwrap().port(), 0);
        for bad in ["", ":80", "127.0.0.1", "example.com:80", "127.0.0.1:70000"] {
            assert!(listen(bad).is_err(), "{bad}");
        }
    }
}
