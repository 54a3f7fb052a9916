use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kernel::{Clock, Ctx, Random, Secret};

use crate::{RunningApp, StartError};

/// Time for each step of a command.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Asks a person for a new password; `true` reads it from standard input even where that is a terminal.
pub type AskPassword = fn(bool) -> Result<Secret<String>, StartError>;

type Outcome = Pin<Box<dyn Future<Output = Result<String, StartError>> + Send>>;
type Run = Arc<dyn Fn(Invocation) -> Outcome + Send + Sync>;

/// A command that a domain brings to every program it is part of: `mainstay admin create you@example.com`. It runs over
/// the started app, with the settings in force, and ends by saying a sentence.
///
/// Described here and not by the parser's own types, so that a domain knows no command line.
#[derive(Clone)]
pub struct Command {
    #[doc(hidden)]
    pub path: &'static str,
    #[doc(hidden)]
    pub about: &'static str,
    #[doc(hidden)]
    pub details: &'static str,
    #[doc(hidden)]
    pub group_about: &'static str,
    #[doc(hidden)]
    pub arguments: Vec<(&'static str, &'static str)>,
    #[doc(hidden)]
    pub switches: Vec<(&'static str, &'static str)>,
    #[doc(hidden)]
    pub first_step: Option<(&'static str, &'static str)>,
    run: Run,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({})", self.path)
    }
}

impl Command {
    /// A command of one or two words (`admin create`), what it does in a line, and what is done. What `run` answers is
    /// printed.
    pub fn new<F, Fut>(path: &'static str, about: &'static str, run: F) -> Self
    where
        F: Fn(Invocation) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, StartError>> + Send + 'static,
    {
        Self {
            path,
            about,
            details: "",
            group_about: "",
            arguments: Vec::new(),
            switches: Vec::new(),
            first_step: None,
            run: Arc::new(move |invocation| Box::pin(run(invocation))),
        }
    }

    /// What its own help says below the first line.
    #[must_use]
    pub const fn details(mut self, details: &'static str) -> Self {
        self.details = details;
        self
    }

    /// What the first of its two words stands for, in a line.
    #[must_use]
    pub const fn group(mut self, about: &'static str) -> Self {
        self.group_about = about;
        self
    }

    /// Adds a word that must be given: its name, and what it means.
    #[must_use]
    pub fn argument(mut self, name: &'static str, about: &'static str) -> Self {
        self.arguments.push((name, about));
        self
    }

    /// Adds a flag that may be given: its name without dashes, and what it does.
    #[must_use]
    pub fn switch(mut self, name: &'static str, about: &'static str) -> Self {
        self.switches.push((name, about));
        self
    }

    /// Makes it one of the first things to do with a new server: what it is good for (`make the first administrator`) and
    /// arguments for an example. The server says so when it starts, and the help shows it.
    #[must_use]
    pub const fn first_step(mut self, purpose: &'static str, arguments: &'static str) -> Self {
        self.first_step = Some((purpose, arguments));
        self
    }
}

/// A command as somebody typed it, and the app it runs over.
pub struct Invocation {
    /// The started app.
    pub running: RunningApp,
    path: &'static str,
    values: Vec<(&'static str, String)>,
    switches: Vec<&'static str>,
    clock: Clock,
    random: Random,
    ask: AskPassword,
}

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invocation({})", self.path)
    }
}

impl Invocation {
    /// The word given for an argument; empty for one the command does not have.
    pub fn value(&self, argument: &str) -> &str {
        self.values.iter().find(|(name, _)| *name == argument).map_or("", |(_, value)| value)
    }

    /// Whether a flag was given.
    pub fn is_set(&self, switch: &str) -> bool {
        self.switches.contains(&switch)
    }

    /// A context for the next step, with time of its own: a person may type between two.
    pub fn ctx(&self) -> Ctx {
        Ctx::system(self.path, TIMEOUT, &self.clock, &self.random)
    }

    /// A service that a domain has put in.
    ///
    /// # Errors
    /// When none has.
    pub fn service<T: Any + Send + Sync + Clone>(&self) -> Result<T, StartError> {
        self.running.api.state().get::<T>().cloned().ok_or_else(|| {
            StartError::new(format!(
                "this program was built without `{}`; add the domain that provides it",
                std::any::type_name::<T>()
            ))
        })
    }

    /// Asks twice for a new password on a terminal, without showing it; or reads one line of standard input when that is
    /// no terminal, or when `is_piped` says so.
    ///
    /// # Errors
    /// When there is none, or the two differ.
    pub async fn new_password(&self, is_piped: bool) -> Result<Secret<String>, StartError> {
        let ask = self.ask;
        // On a thread of its own, so that a signal is heard while a person thinks.
        let asked = tokio::task::spawn_blocking(move || ask(is_piped)).await;
        asked.map_err(|error| StartError::caused("the password could not be asked for", error))?
    }
}

/// A command with what was given to it, before there is an app.
#[derive(Debug)]
pub struct Invoked {
    /// The command.
    pub command: Command,
    /// What was given for each argument, by its name.
    pub values: Vec<(&'static str, String)>,
    /// The flags that were given.
    pub switches: Vec<&'static str>,
}

impl Invoked {
    /// Runs it over a started app.
    pub fn run(
        self,
        running: RunningApp,
        clock: Clock,
        random: Random,
        ask: AskPassword,
    ) -> impl Future<Output = Result<String, StartError>> + Send {
        let Self { command, values, switches } = self;
        (command.run)(Invocation { running, path: command.path, values, switches, clock, random, ask })
    }
}
