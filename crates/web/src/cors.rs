//! Cross-origin requests: the Fetch standard's CORS protocol, closed unless an origin is named in the settings.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};

use crate::CorsSettings;
use crate::router::allow_header;

/// What the API itself reads of a request; a page may always send it.
const READ: [&str; 9] = [
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "last-event-id",
    "traceparent",
    "x-request-id",
];

/// What the API itself says in an answer; a page may always read it.
const SAID: [&str; 9] = [
    "allow",
    "etag",
    "idempotency-replayed",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "www-authenticate",
    "x-request-id",
];

/// The settings, as they are compared with what browsers send.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Vec<String>,
    credentials: bool,
    max_age_s: u32,
    allowed_headers: HeaderValue,
    exposed_headers: HeaderValue,
}

impl Cors {
    /// Reads them.
    ///
    /// # Errors
    /// The first that no browser would ever send, and what to write.
    pub(crate) fn read(settings: &CorsSettings) -> Result<Self, String> {
        let mut origins = Vec::new();
        for text in &settings.origins {
            let origin = read_origin(text.trim()).map_err(|advice| {
                format!("server.cors.origins holds `{text}`, which no browser sends as an origin. {advice}")
            })?;
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        Ok(Self {
            origins,
            credentials: settings.credentials,
            max_age_s: settings.max_age_s,
            allowed_headers: names("server.cors.allowed_headers", &READ, &settings.allowed_headers)?,
            exposed_headers: names("server.cors.exposed_headers", &SAID, &settings.exposed_headers)?,
        })
    }

    /// The sender's origin, where it is one that is let in. `null` never is: any sandboxed page has it.
    fn allowed<'a>(&self, request: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = request.get(ORIGIN)?;
        self.origins.iter().any(|o| o.as_bytes() == origin.as_bytes()).then_some(origin)
    }

    /// Whether the request is the preflight of a page that is let in.
    pub(crate) fn lets_ask(&self, request: &HeaderMap) -> bool {
        is_preflight(request) && self.allowed(request).is_some()
    }

    /// Adds what a browser needs to let the page read the answer.
    pub(crate) fn decorate(&self, request: &HeaderMap, response: &mut HeaderMap, preflight_allow: Option<&str>) {
        if self.origins.is_empty() {
            return;
        }
        response.append(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = self.allowed(request) else { return };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        match preflight_allow {
            Some(allow) => {
                response.insert(ACCESS_CONTROL_ALLOW_METHODS, methods(allow, request));
                response.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.allowed_headers.clone());
                if self.max_age_s > 0 {
                    response.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(self.max_age_s));
                }
            }
            None => {
                response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed_headers.clone());
            }
        }
    }
}

/// Whether the request is a preflight.
pub(crate) fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// What a path takes, and what the page wants to send: of a method that the path does not take it shall see the 405.
fn methods(allow: &str, request: &HeaderMap) -> HeaderValue {
    let asked = request.get(ACCESS_CONTROL_REQUEST_METHOD).and_then(|value| value.to_str().ok());
    let is_method = |name: &&str| http::Method::from_bytes(name.as_bytes()).is_ok();
    match asked.filter(is_method).filter(|name| !allow.split(", ").any(|known| known == *name)) {
        Some(other) => allow_header(&format!("{allow}, {other}")),
        None => allow_header(allow),
    }
}

/// The names of headers, as one value.
fn names(setting: &str, own: &[&str], more: &[String]) -> Result<HeaderValue, String> {
    let mut all: Vec<String> = own.iter().map(|name| (*name).to_owned()).collect();
    for text in more {
        let name = text.trim();
        if name == "*" {
            return Err(format!("{setting} holds `*`, which browsers do not take everywhere. Name each header."));
        }
        let name = HeaderName::try_from(name).map_err(|_| {
            format!("{setting} holds `{text}`, which is no header's name. Write it as in `x-client-version`.")
        })?;
        if !all.iter().any(|known| known == name.as_str()) {
            all.push(name.as_str().to_owned());
        }
    }
    HeaderValue::try_from(all.join(", ")).map_err(|error| format!("{setting}: {error}"))
}

const WRITE: &str = "Write scheme and host (and port), as in `https://app.example.com`.";

/// An origin as a browser writes it (URL standard, "ASCII serialization of an origin"): small letters, no default port.
fn read_origin(text: &str) -> Result<String, &'static str> {
    if text == "*" {
        return Err("Every origin cannot be let in; name each, as in `https://app.example.com`.");
    }
    if text.eq_ignore_ascii_case("null") {
        return Err("Every sandboxed page and local file has it. Serve the page from a host, and name that.");
    }
    let (scheme, rest) = text.split_once("://").ok_or(WRITE)?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return Err(WRITE),
    };
    if rest.contains('@') {
        return Err("Leave out the user's name and what follows it, up to the `@`.");
    }
    if let Some(at) = rest.find(['/', '?', '#', '\\']) {
        let is_slash = &rest[at..] == "/";
        return Err(if is_slash {
            "Leave out the slash at its end."
        } else {
            "Leave out what follows the host and port."
        });
    }
    if rest.contains('*') {
        return Err("Name each host; `*` stands for none.");
    }
    let end_of_host = match rest.strip_prefix('[') {
        Some(v6) => v6.find(']').map(|end| end + 2).ok_or(WRITE)?,
        None => rest.find(':').unwrap_or(rest.len()),
    };
    let (host, port) = rest.split_at(end_of_host);
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some("") => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            let port = digits.parse::<u16>().ok().filter(|port| *port > 0);
            Some(port.ok_or("A port is a number from 1 to 65535.")?)
        }
        _ => return Err(WRITE),
    };
    let host = read_host(host)?;
    Ok(match port.filter(|port| *port != default_port) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

/// A host as a browser writes it.
fn read_host(text: &str) -> Result<String, &'static str> {
    if let Some(v6) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr =
            v6.parse().map_err(|_| "An IPv6 address stands in brackets, as in `http://[::1]:3000`.")?;
        // The URL standard has no dotted form.
        return Ok(match address.to_ipv4_mapped() {
            Some(v4) => {
                let [a, b, c, d] = v4.octets().map(u16::from);
                format!("[::ffff:{:x}:{:x}]", a << 8 | b, c << 8 | d)
            }
            None => format!("[{address}]"),
        });
    }
    if !text.is_ascii() {
        return Err(
            "Write the host's ASCII form, which browsers send: `https://xn--bcher-kva.example` for bücher.example.",
        );
    }
    let host = text.to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let name = host.strip_suffix('.').unwrap_or(&host);
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(WRITE);
    }
    // What ends in a number is an IPv4 address, which browsers write in one way only.
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if is_number && host.parse::<Ipv4Addr>().is_err() {
        return Err("An IPv4 address has four numbers, as in `http://127.0.0.1:3000`.");
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_as_browsers_write_it() {
        for (text, origin) in [
            ("https://app.example.com", "https://app.example.com"),
            ("https://App.Example.COM", "https://app.example.com"),
            ("HTTPS://app.example.com", "https://app.example.com"),
            (" https://app.example.com ", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("https://app.example.com:", "https://app.example.com"),
            ("https://app.example.com:08443", "https://app.example.com:8443"),
            ("https://app.example.com:80", "https://app.example.com:80"),
            ("http://app.example.com:80", "http://app.example.com"),
            ("http://app.example.com:443", "http://app.example.com:443"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://my_app.localhost", "http://my_app.localhost"),
            ("https://app.example.com.", "https://app.example.com."),
            ("https://XN--BCHER-KVA.example", "https://xn--bcher-kva.example"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://[2001:0DB8:0:0:0:0:0:1]", "http://[2001:db8::1]"),
            ("http://[::ffff:127.0.0.1]:80", "http://[::ffff:7f00:1]"),
        ] {
            let cors = Cors::read(&CorsSettings { origins: vec![text.to_owned()], ..CorsSettings::default() });
            assert_eq!(cors.unwrap().origins, [origin], "{text}");
        }
        let twice = ["https://a.example", "https://A.example:443"].map(ToOwned::to_owned).to_vec();
        assert_eq!(Cors::read(&CorsSettings { origins: twice, ..CorsSettings::default() }).unwrap().origins.len(), 1);
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_advice() {
        for (text, advice) in [
            ("", "scheme and host"),
            ("*", "name each"),
            ("null", "sandboxed"),
            ("NULL", "sandboxed"),
            ("app.example.com", "scheme and host"),
            ("//app.example.com", "scheme and host"),
            ("ftp://app.example.com", "scheme and host"),
            ("https://", "scheme and host"),
            ("https://:443", "scheme and host"),
            ("https://*.example.com", "Name each host"),
            ("https://*", "Name each host"),
            ("https://app.example.com/", "slash at its end"),
            ("https://app.example.com/app", "what follows"),
            ("https://app.example.com?x", "what follows"),
            ("https://app.example.com#x", "what follows"),
            ("https://user@app.example.com", "user's name"),
            ("https://user:word@app.example.com", "user's name"),
            ("https://bücher.example", "ASCII form"),
            ("https://app.example.com:0", "1 to 65535"),
            ("https://app.example.com:65536", "1 to 65535"),
            ("https://app.example.com:x", "scheme and host"),
            ("https://app.example.com:443:443", "scheme and host"),
            ("https://app..example.com", "scheme and host"),
            ("https://app example.com", "scheme and host"),
            ("https://app%2eexample.com", "scheme and host"),
            ("https://a.example,https://b.example", "what follows"),
            ("http://127.1:3000", "four numbers"),
            ("http://0x7f.0.0.1", "four numbers"),
            ("http://[::1", "scheme and host"),
            ("http://[localhost]", "in brackets"),
            ("http://::1:3000", "scheme and host"),
        ] {
            let error = Cors::read(&CorsSettings { origins: vec![text.to_owned()], ..CorsSettings::default() });
            let error = error.expect_err(text);
            assert!(error.contains(&format!("`{text}`")) && error.contains(advice), "{text}: {error}");
        }
    }

    #[test]
    fn more_headers_are_taken_by_their_names() {
        let with = |allowed: &[&str], exposed: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            Cors::read(&CorsSettings {
                allowed_headers: owned(allowed),
                exposed_headers: owned(exposed),
                ..CorsSettings::default()
            })
        };
        let cors = with(&["X-Client-Version", "AUTHORIZATION"], &["X-Total"]).unwrap();
        assert_eq!(cors.allowed_headers, format!("{}, x-client-version", READ.join(", ")));
        assert_eq!(cors.exposed_headers, format!("{}, x-total", SAID.join(", ")));
        for (allowed, exposed) in [(&["*"][..], &[][..]), (&[], &["*"]), (&["x y"], &[]), (&[], &["", "x:"])] {
            let error = with(allowed, exposed).unwrap_err();
            assert!(error.starts_with("server.cors.") && error.contains("ame"), "{error}");
        }
    }
}
