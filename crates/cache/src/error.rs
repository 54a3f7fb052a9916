use std::fmt;

/// The shared backend did not do what it was asked. Never a reason to fail: the caller does without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// There is no connection, too many wait for an answer already, or no time is left: nothing was asked.
    NotAsked,
    /// No answer came in time, or the connection broke: it may have been done, or be done yet.
    Unanswered,
    /// Redis says that it does not do it, for want of memory or of a right: nothing was done.
    Refused,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAsked => "Redis was not asked: it is away, or too much is asked of it",
            Self::Unanswered => "Redis did not answer in time",
            Self::Refused => "Redis refused",
        })
    }
}

impl std::error::Error for Unavailable {}

/// Why a backend could not be opened. That Redis is away is no reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// A setting is wrong: what, and what to write instead; never the password.
    Settings(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(advice) => f.write_str(advice),
        }
    }
}

impl std::error::Error for OpenError {}
