//! What a variable under our prefix is: a setting, a misspelt one, or nothing of ours. Kubernetes describes each Service in
//! the environment of every container by variables that begin with the Service's name, and that may be ours.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::sources::{PREFIX, RENAMED, distance};

/// A variable that begins as ours do, and is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Its name.
    pub name: String,
    /// Why it is not read.
    pub why: WhyIgnored,
}

/// Why a variable is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyIgnored {
    /// It describes a Service of Kubernetes, or a container that Docker linked.
    ServiceLink,
    /// It is like no setting.
    Foreign,
}

impl fmt::Display for WhyIgnored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServiceLink => "describes a service (Kubernetes sets it), and is no setting",
            Self::Foreign => "is like no setting",
        })
    }
}

/// What a variable is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The setting of this key.
    Setting(String),
    /// Not ours.
    Ignored(WhyIgnored),
    /// Meant for a setting: what to do instead.
    Mistake(String),
}

/// The flags that have no variable, with the endings that people give them.
const FLAGS: [(&str, &[&str]); 2] = [("data", &["", "_dir", "_folder", "_path"]), ("config", &["", "_file", "_path"])];

/// What `name`, without our prefix, is among the settings of these keys. `value` is none where it is not UTF-8.
pub(super) fn meaning(name: &str, value: Option<&str>, keys: &[String]) -> Meaning {
    let lower = name.to_lowercase();
    let key = lower.replace("__", ".");
    if keys.contains(&key) {
        return Meaning::Setting(key);
    }
    if value.is_some_and(|value| is_service_link(name, value)) {
        return Meaning::Ignored(WhyIgnored::ServiceLink);
    }
    for (flag, endings) in FLAGS {
        if lower.strip_prefix(flag).is_some_and(|ending| endings.contains(&ending)) {
            return Meaning::Mistake(format!("It is no setting: say it with `--{flag}` on the command line."));
        }
    }
    match closest(&lower, value.unwrap_or_default(), keys) {
        Some(key) => {
            let variable = format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"));
            Meaning::Mistake(format!("Did you mean `{key}`? Its variable is {variable}."))
        }
        None if is_of_a_section(&lower, keys) => Meaning::Mistake(
            "`mainstay config show` lists every setting. If it is another program's, give it a name that does not begin \
             as a heading of ours."
                .to_owned(),
        ),
        None => Meaning::Ignored(WhyIgnored::Foreign),
    }
}

/// Whether it names a heading, or a key under one, which two underscores part: then it is meant for us.
fn is_of_a_section(lower: &str, keys: &[String]) -> bool {
    let is_under =
        |section: &str| lower.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    lower.contains("__") || keys.iter().filter_map(|key| key.split_once('.')).any(|(section, _)| is_under(section))
}

/// The key that a name is like.
fn closest<'a>(lower: &str, value: &str, keys: &'a [String]) -> Option<&'a str> {
    let bare = |text: &str| text.replace(['.', '_'], "");
    let known = |key: &str| keys.iter().map(String::as_str).find(|known| *known == key);
    let name = bare(lower);
    if let Some((_, now)) = RENAMED.iter().find(|(before, _)| bare(before) == name) {
        return known(now);
    }
    let nearest = keys.iter().map(|key| (distance(&bare(key), &name), key)).min()?;
    // A short word is one letter from many others.
    let most = if is_of_a_section(lower, keys) { name.len() / 3 + 1 } else { (name.len() / 4).clamp(1, 3) };
    if nearest.0 <= most {
        return Some(nearest.1);
    }
    // The heading was left out, or a word of a key without one was.
    let is_part = |key: &&String| match key.rsplit_once('.') {
        Some((_, last)) => last == lower,
        None => key.strip_prefix(lower).or(lower.strip_prefix(key.as_str())).is_some_and(|rest| rest.starts_with('_')),
    };
    if let Some(key) = keys.iter().find(is_part) {
        return Some(key);
    }
    // What a person meant the server to listen on, or to keep its data in, shows in the value.
    let has_scheme = |schemes: &[&str]| schemes.iter().any(|scheme| value.starts_with(scheme));
    let is_address =
        value.parse::<u16>().is_ok() || value.parse::<IpAddr>().is_ok() || value.parse::<SocketAddr>().is_ok();
    match lower {
        "port" | "host" | "bind" | "addr" | "address" if is_address => known("server.listen"),
        _ if has_scheme(&["sqlite://", "postgres://", "postgresql://"]) => known("database.url"),
        _ if has_scheme(&["redis://", "rediss://", "redis+"]) => known("cache.url"),
        _ => None,
    }
}

/// Whether a variable is one of those that Kubernetes makes of a Service (its documentation, "Accessing the Service"), and
/// Docker of a link: by its name, and by a value as they have. A person who writes `MAINSTAY_SERVER_PORT=8080` means a setting.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    if !name.bytes().all(is_name) {
        return false;
    }
    // Each stands behind our prefix, or behind more of the Service's name.
    let name = format!("_{name}");
    let is_port = value.parse::<u16>().is_ok();
    let is_address = value.parse::<IpAddr>().is_ok();
    if name.ends_with("_SERVICE_HOST") {
        return is_address;
    }
    if name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return is_port;
    }
    // `tcp://10.0.0.1:8080`
    let target = |value: &str| {
        let (protocol, address) = value.split_once("://")?;
        let address: SocketAddr = address.parse().ok()?;
        ["tcp", "udp", "sctp"].contains(&protocol).then(|| (protocol.to_owned(), address.port().to_string()))
    };
    // The whole of `_PORT_8080_TCP_ADDR`, from a `PORT` with a number behind it.
    let words: Vec<&str> = name.split('_').collect();
    for at in (0..words.len()).filter(|at| words[*at] == "PORT") {
        let [port, protocol, rest @ ..] = &words[at + 1..] else { continue };
        if port.parse::<u16>().is_err() || !["TCP", "UDP", "SCTP"].contains(protocol) {
            continue;
        }
        let protocol = protocol.to_lowercase();
        return match rest {
            [] => target(value) == Some((protocol, (*port).to_owned())),
            ["PROTO"] => value == protocol,
            ["PORT"] => value == *port,
            ["ADDR"] => is_address,
            _ => false,
        };
    }
    name.ends_with("_PORT") && target(value).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<String> {
        let keys = [
            "mode",
            "secret_key",
            "public_url",
            "server.listen",
            "server.workers",
            "server.cors.origins",
            "database.url",
            "database.pool_size",
            "cache.url",
            "log.filter",
            "log.format",
            "auth.registration_open",
        ];
        keys.map(str::to_owned).to_vec()
    }

    fn of(name: &str, value: &str) -> Meaning {
        meaning(name, Some(value), &keys())
    }

    #[test]
    fn settings_are_settings() {
        for (name, key) in [
            ("MODE", "mode"),
            ("SECRET_KEY", "secret_key"),
            ("SERVER__LISTEN", "server.listen"),
            ("SERVER__CORS__ORIGINS", "server.cors.origins"),
        ] {
            assert_eq!(of(name, "tcp://10.0.0.1:80"), Meaning::Setting(key.to_owned()));
        }
    }

    /// All that Kubernetes 1.31 makes of a Service, named as the product, as one of its headings, and as neither; and what
    /// Docker makes of a link.
    #[test]
    fn what_describes_a_service_is_not_read() {
        for service in ["", "SERVER_", "DATABASE_", "LOG_", "REDIS_", "API_V2_", "SECRET_KEY_", "A__B_", "PORT_"] {
            for (name, value) in [
                ("SERVICE_HOST", "10.96.17.4"),
                ("SERVICE_HOST", "fd00:10:96::5cd"),
                ("SERVICE_PORT", "8080"),
                ("SERVICE_PORT_HTTP", "8080"),
                ("SERVICE_PORT_GRPC_WEB", "9000"),
                ("PORT", "tcp://10.96.17.4:8080"),
                ("PORT", "udp://[fd00:10:96::5cd]:53"),
                ("PORT_8080_TCP", "tcp://10.96.17.4:8080"),
                ("PORT_8080_TCP_PROTO", "tcp"),
                ("PORT_8080_TCP_PORT", "8080"),
                ("PORT_8080_TCP_ADDR", "10.96.17.4"),
                ("PORT_53_UDP", "udp://10.96.17.4:53"),
                ("PORT_53_UDP_PROTO", "udp"),
                ("PORT_7_SCTP_PROTO", "sctp"),
            ] {
                let name = format!("{service}{name}");
                assert_eq!(of(&name, value), Meaning::Ignored(WhyIgnored::ServiceLink), "{name}={value}");
            }
        }
    }

    #[test]
    fn what_another_program_left_is_not_read() {
        for name in [
            "VERSION",
            "HOME",
            "IMAGE",
            "TAG",
            "GIT_SHA",
            "BUILD_DATE",
            "USER",
            "UID",
            "NAMESPACE",
            "POD_IP",
            "REPLICAS",
        ] {
            assert_eq!(of(name, "whatever"), Meaning::Ignored(WhyIgnored::Foreign), "{name}");
            assert_eq!(meaning(name, None, &keys()), Meaning::Ignored(WhyIgnored::Foreign), "{name}");
        }
        assert_eq!(of("PORT", "http"), Meaning::Ignored(WhyIgnored::Foreign));
        assert_eq!(of("HOST", "api.example.com"), Meaning::Ignored(WhyIgnored::Foreign));
    }

    #[test]
    fn what_was_meant_for_us_is_told() {
        for (name, value, says) in [
            ("SERVER_LISTEN", "127.0.0.1:1", "Did you mean `server.listen`? Its variable is MAINSTAY_SERVER__LISTEN."),
            ("SERVER__LISTN", "127.0.0.1:1", "`server.listen`"),
            ("SERVR__LISTEN", "127.0.0.1:1", "`server.listen`"),
            ("SERVR_LISTEN", "127.0.0.1:1", "`server.listen`"),
            ("SERVER_CORS_ORIGINS", "x", "MAINSTAY_SERVER__CORS__ORIGINS"),
            ("LISTEN", "127.0.0.1:1", "`server.listen`"),
            ("PORT", "8080", "`server.listen`"),
            ("HOST", "0.0.0.0", "`server.listen`"),
            ("SERVER_PORT", "8080", "`mainstay config show`"),
            ("SERVER__PORT", "8080", "`mainstay config show`"),
            ("SERVER_PORT_8080_TCP", "tcp://10.0.0.1:8081", "`mainstay config show`"),
            ("SERVER", "127.0.0.1:1", "`mainstay config show`"),
            ("NONSENSE__X", "1", "`mainstay config show`"),
            ("SECRETKEY", "x", "`secret_key`"),
            ("SECRET", "x", "`secret_key`"),
            ("SECRET_KEY_FILE", "/run/x", "`secret_key`"),
            ("MODEE", "production", "`mode`"),
            ("DATABASE_URL", "x", "`database.url`"),
            ("DB", "postgres://h/d", "`database.url`"),
            ("REDIS_URL", "redis://h", "`cache.url`"),
            ("LOG_LEVEL", "debug", "`mainstay config show`"),
            ("DATA", "/var/lib/mainstay", "`--data`"),
            ("CONFIG_FILE", "/etc/mainstay.toml", "`--config`"),
        ] {
            match of(name, value) {
                Meaning::Mistake(advice) => assert!(advice.contains(says), "{name}: {advice}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
