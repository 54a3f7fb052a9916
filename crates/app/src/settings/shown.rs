//! How what is secret is shown: by what the setting is, never by how its value looks.

use std::fmt::Write;

const DOTS: &str = "••••••••";

/// How a secret setting is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// As dots.
    Whole,
    /// As a URL of which only what is known to be harmless is shown.
    Url,
}

impl Secrecy {
    /// Of a property of a section's JSON Schema; none where it is no secret.
    pub(super) fn of(property: &serde_json::Value) -> Option<Self> {
        let is_secret = property["format"] == "password";
        is_secret.then(|| if property["x-secret"] == "url" { Self::Url } else { Self::Whole })
    }

    pub(super) fn shown(self, value: &str) -> String {
        match self {
            _ if value.is_empty() => String::new(),
            Self::Whole => DOTS.to_owned(),
            Self::Url => shown_url(value),
        }
    }
}

/// What may be shown of a URL's parameters. Any other may be a password's name, or a part of a password that was not encoded.
const HARMLESS: &[&str] = &[
    "application_name",
    "channel_binding",
    "connect_timeout",
    "db",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "port",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// A URL without what is secret in it: no password, and no parameter but those known to be harmless. Where a sign that was not
/// encoded could have moved a part of the password elsewhere, nothing but the scheme.
pub fn shown_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        // `memory:`
        return if text == "memory:" { text.to_owned() } else { DOTS.to_owned() };
    };
    if scheme == "sqlite" {
        return text.to_owned();
    }
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let (authority, path) = place.find('/').map_or((place, ""), |at| place.split_at(at));
    let (login, hosts) = authority.rsplit_once('@').map_or((None, authority), |(login, hosts)| (Some(login), hosts));
    // An `@` elsewhere, or two: a password may reach until the last of them.
    if rest.matches('@').count() != usize::from(login.is_some()) || rest.contains('#') {
        return format!("{scheme}://{DOTS}");
    }
    let mut shown = format!("{scheme}://");
    if let Some(login) = login {
        let (user, password) = login.split_once(':').map_or((login, false), |(user, _)| (user, true));
        shown.push_str(user);
        if password {
            let _ = write!(shown, ":{DOTS}");
        }
        shown.push('@');
    }
    shown.push_str(hosts);
    shown.push_str(path);
    for (n, parameter) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        shown.push(if n == 0 { '?' } else { '&' });
        match parameter.split_once('=') {
            Some((name, _)) if HARMLESS.contains(&name) => shown.push_str(parameter),
            // The name is shown where it is a word, as people look for it.
            Some((name, _)) if name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') => {
                let _ = write!(shown, "{name}={DOTS}");
            }
            _ => shown.push_str(DOTS),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_is_secret() {
        for (given, shown) in [
            ("memory:", "memory:"),
            ("sqlite:///var/lib/a%40b.db", "sqlite:///var/lib/a%40b.db"),
            ("postgres://db/x", "postgres://db/x"),
            ("postgres://me@db/x", "postgres://me@db/x"),
            ("postgres://me:hunter2@db:5432/x", "postgres://me:••••••••@db:5432/x"),
            ("postgres://me:hunter%402@a:1,b:2/x?sslmode=require", "postgres://me:••••••••@a:1,b:2/x?sslmode=require"),
            ("postgres://db/x?password=hunter2", "postgres://db/x?password=••••••••"),
            (
                "postgres://db/x?user=me&password=hunter2&sslmode=require",
                "postgres://db/x?user=me&password=••••••••&sslmode=require",
            ),
            ("postgres://db/x?pass%77ord=hunter2", "postgres://db/x?••••••••"),
            ("postgres://db/x?PASSWORD=hunter2&hunter2", "postgres://db/x?PASSWORD=••••••••&••••••••"),
            (
                "postgres:///x?host=/run/postgresql&options=-chunter2",
                "postgres:///x?host=/run/postgresql&options=••••••••",
            ),
            ("redis://:hunter2@cache:6379/0", "redis://:••••••••@cache:6379/0"),
            ("redis+sentinel://u:hunter2@a:1,b:2/main?db=2", "redis+sentinel://u:••••••••@a:1,b:2/main?db=2"),
            // Signs that had to be encoded: where the password ends is anybody's guess.
            ("postgres://me:hunter@2@db/x", "postgres://••••••••"),
            ("postgres://me:hunter/2@db/x", "postgres://••••••••"),
            ("postgres://me:hunter?2@db/x", "postgres://••••••••"),
            ("postgres://me:h@nter?2@db/x", "postgres://••••••••"),
            ("postgres://me:hunter#2@db/x", "postgres://••••••••"),
            ("postgres:///x?password=hunter@2", "postgres://••••••••"),
            ("rediss://h#hunter2", "rediss://••••••••"),
            ("hunter2", "••••••••"),
        ] {
            assert_eq!(shown_url(given), shown);
        }
    }

    #[test]
    fn what_is_no_url_is_dots_however_it_looks() {
        assert_eq!(Secrecy::Whole.shown("https://hunter2@example.com/hunter2"), DOTS);
        assert_eq!(Secrecy::Whole.shown("memory:"), DOTS);
        assert_eq!(Secrecy::Whole.shown(""), "");
    }
}
