use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const AFTER: &str = "\
Examples:
  mainstay                                   serve on 127.0.0.1:8080
  mainstay serve --listen 127.0.0.1:9000     … on another port
  mainstay admin create you@example.com      make the first administrator
  mainstay config default > mainstay.toml    a settings file to start from
  MAINSTAY_DATABASE__URL=postgres://… mainstay

Settings come from the defaults, then mainstay.toml in the working directory
(or --config), then environment variables MAINSTAY_…, then flags.

Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.";

/// The production API backend in one binary.
#[derive(Debug, Parser)]
#[command(name = "mainstay", version, max_term_width = 80, after_help = AFTER)]
pub struct Cli {
    /// What to do; `serve` when nothing is said.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// Flags of every verb.
    #[command(flatten)]
    pub flags: Flags,
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
    /// Manage administrators
    Admin {
        /// What.
        #[command(subcommand)]
        verb: AdminVerb,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Look at the settings
    Config {
        /// How.
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Print every error code the API answers with, as Markdown
    Errors,
}

/// How to serve.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", value_parser = listen)]
    pub listen: Option<SocketAddr>,
}

/// What to do with administrators.
#[derive(Debug, Subcommand)]
pub enum AdminVerb {
    /// Make an administrator, or give an existing account the role
    ///
    /// The password is asked for on a terminal, without showing it, and otherwise read as one line from standard input.
    /// An account that exists keeps its password. The server may be running meanwhile.
    Create(CreateArgs),
}

/// Who becomes an administrator.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The address the account signs in with
    pub email: String,
    /// Read the password as one line from standard input, on a terminal too
    #[arg(long)]
    pub password_stdin: bool,
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

fn listen(text: &str) -> Result<SocketAddr, String> {
    let text = text.strip_prefix("localhost:").map_or(text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().map_err(|_| "\n  write an address and a port, as in 127.0.0.1:8080 or [::1]:8080".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
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
        let mut command = Cli::command();
        command.build();
        assert!(look(&mut command) > 10);
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
