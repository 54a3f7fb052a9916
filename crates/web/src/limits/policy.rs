use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use kernel::Rate;

/// One rate limit: N calls in a time, counted for each address, person or operation, or any of them together.
/// Written as a line: `login: 60/1m by address+operation`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub(super) name: String,
    pub(super) rate: Rate,
    pub(super) parts: Parts,
    pub(super) on: On,
    /// What callers of a tier have instead.
    pub(super) tiers: Vec<(String, u32)>,
}

/// What calls are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Parts {
    pub(super) address: bool,
    pub(super) user: bool,
    pub(super) operation: bool,
    pub(super) subject: bool,
}

/// Which operations it is for, beside those that name it themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum On {
    /// All.
    All,
    /// These, by their `operationId`.
    Named(Vec<String>),
}

/// A line of settings: a policy, or that the one of this name is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Policy(Policy),
    Off(String),
}

/// A line that is no policy, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    line: String,
    what: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the limit `{}` {}; write NAME: QUOTA/WINDOW by PARTS, as in `search: 100/1m by user on list_posts admin=1000`, \
             with a window in s, m, h or d and parts of address, user, operation joined by +; or `NAME: off`",
            self.line, self.what
        )
    }
}

impl std::error::Error for PolicyError {}

impl Policy {
    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The quota and window of a tier's callers.
    pub(super) fn rate_of(&self, tier: &str) -> Rate {
        let quota = self.tiers.iter().find(|(name, _)| name == tier).map(|(_, quota)| *quota);
        // Each was tried when the line was read.
        quota.and_then(|quota| Rate::new(quota, self.rate.window()).ok()).unwrap_or(self.rate)
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(line: &str) -> Result<Self, PolicyError> {
        match line.parse()? {
            Line::Policy(policy) => Ok(policy),
            Line::Off(_) => Err(PolicyError { line: line.to_owned(), what: "is none".to_owned() }),
        }
    }
}

impl FromStr for Line {
    type Err = PolicyError;

    fn from_str(line: &str) -> Result<Self, PolicyError> {
        read(line).map_err(|what| PolicyError { line: line.to_owned(), what })
    }
}

/// A name is a key of a structured field (RFC 9651 section 3.1.2), shorter, since every answer tells it.
fn is_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|b| b.is_ascii_lowercase())
        && letters.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
        && name.len() <= 40
}

fn read(line: &str) -> Result<Line, String> {
    let (name, rest) = line.split_once(':').ok_or("has no colon after its name")?;
    let (name, mut words) = (name.trim(), rest.split_whitespace());
    if !is_name(name) {
        return Err("has a name that is not of small letters, digits, _ and -, at most 40".to_owned());
    }
    let first = words.next().ok_or("says nothing after the colon")?;
    if first == "off" {
        return match words.next() {
            None => Ok(Line::Off(name.to_owned())),
            Some(word) => Err(format!("is off, and then says `{word}`")),
        };
    }
    let (quota, window) = first.split_once('/').ok_or_else(|| format!("has `{first}` where a quota is"))?;
    let quota = number(quota)?;
    let window = read_window(window)?;
    let rate = Rate::new(quota, window).map_err(|error| error.to_string())?;
    if words.next() != Some("by") {
        return Err("does not say by what it counts".to_owned());
    }
    let parts = read_parts(words.next().unwrap_or_default())?;
    let (mut on, mut tiers) = (On::Named(Vec::new()), Vec::new());
    while let Some(word) = words.next() {
        if word == "on" {
            on = match words.next() {
                None => return Err("does not say on what".to_owned()),
                Some("*") => On::All,
                Some(names) => On::Named(names.split('+').map(ToOwned::to_owned).collect()),
            };
        } else if let Some((tier, quota)) = word.split_once('=') {
            let quota = number(quota)?;
            Rate::new(quota, window).map_err(|error| format!("gives {tier} {quota}, and {error}"))?;
            tiers.push((tier.to_owned(), quota));
        } else {
            return Err(format!("has `{word}` where `on` or a tier is"));
        }
    }
    Ok(Line::Policy(Policy { name: name.to_owned(), rate, parts, on, tiers }))
}

fn number(text: &str) -> Result<u32, String> {
    text.replace('_', "").parse().map_err(|_| format!("has `{text}` where a whole number is"))
}

fn read_window(text: &str) -> Result<Duration, String> {
    let wrong = || format!("has `{text}` where a window is");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let count = number(&text[..text.len() - 1]).map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(count) * seconds))
}

fn read_parts(text: &str) -> Result<Parts, String> {
    let mut parts = Parts::default();
    for part in text.split('+') {
        match part {
            "address" => parts.address = true,
            "user" => parts.user = true,
            "operation" => parts.operation = true,
            "subject" => parts.subject = true,
            "all" => {}
            _ => return Err(format!("counts by `{part}`")),
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_from_its_line() {
        let policy: Policy = "search: 1_000/5m by user+operation on list_posts+get_post admin=5000".parse().unwrap();
        assert_eq!((policy.name(), policy.rate.quota(), policy.rate.window().as_secs()), ("search", 1000, 300));
        assert_eq!(policy.parts, Parts { user: true, operation: true, ..Parts::default() });
        assert_eq!(policy.on, On::Named(vec!["list_posts".into(), "get_post".into()]));
        assert_eq!((policy.rate_of("admin").quota(), policy.rate_of("user").quota()), (5000, 1000));
        let all: Policy = "a: 1/1s by address on *".parse().unwrap();
        assert_eq!(all.on, On::All);
        assert_eq!("a: off".parse(), Ok(Line::Off("a".into())));
    }

    #[test]
    fn what_is_no_policy_says_what_to_write() {
        for (line, says) in [
            ("search", "no colon"),
            ("Search: 1/1m by user", "a name"),
            ("s:", "nothing"),
            ("s: 1 by user", "where a quota is"),
            ("s: x/1m by user", "whole number"),
            ("s: 0/1m by user", "at least 1"),
            ("s: 1/1 by user", "where a window is"),
            ("s: 1/m by user", "where a window is"),
            ("s: 1/1m", "by what"),
            ("s: 1/1m by colour", "`colour`"),
            ("s: 1/1m by user on", "on what"),
            ("s: 1/1m by user if", "`if`"),
            ("s: 100000/1s by user", "10,000"),
            ("s: 1/1m by user pro=0", "gives pro 0"),
            ("s: off on *", "`on`"),
        ] {
            let error = line.parse::<Line>().unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("NAME: QUOTA/WINDOW"), "{line}: {error}");
        }
    }
}
