//! The address people reach a deployment at, read once and written in one way: tokens' issuer is compared letter by letter.

use std::net::{Ipv4Addr, Ipv6Addr};

/// `public_url`, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicUrl {
    /// `https://api.example.com:8443`: in small letters, without a port that is the scheme's own.
    origin: String,
    /// `/app`, or nothing: what a proxy takes off the paths of requests.
    base_path: String,
}

impl PublicUrl {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let told = |what: &str| {
            Err(format!(
                "public_url {what}; write scheme and host only, as in `https://api.example.com`, and a path where a proxy takes one off: `https://example.com/app`"
            ))
        };
        // Before anything is compared: what a terminal or a header would make of these is not what stands here.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return told("holds a space, a line end or another control character");
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return told("has no `https://` or `http://` before it");
        };
        let scheme = scheme.to_ascii_lowercase();
        let usual_port = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return told("begins with neither `https://` nor `http://`"),
        };
        if rest.contains(['?', '#']) {
            return told("has a query or a fragment");
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if authority.contains('@') {
            return told("names a user or a password, which everyone would be shown");
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let host = host.to_ascii_lowercase();
        if !is_host(&host) {
            return told("names no host, or one that cannot be (write a name of other letters as `xn--…`)");
        }
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port)) if port != 0 => Some(port).filter(|port| *port != usual_port),
            Some(_) => return told("has a port that is not a number from 1 to 65535"),
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        if !path.split('/').skip(1).all(is_segment) {
            return told("has a path with an empty part, `.` or `..`, or a sign that must be written with `%`");
        }
        let origin = match port {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        };
        Ok(Self { origin, base_path: path.to_owned() })
    }

    /// The whole.
    pub(super) fn text(&self) -> String {
        format!("{}{}", self.origin, self.base_path)
    }

    /// The path alone.
    pub(super) fn base_path(&self) -> &str {
        &self.base_path
    }
}

/// A name of letters, digits, `-`, `_` between dots (RFC 1123 section 2.1; Docker has `_`), or an address.
fn is_host(host: &str) -> bool {
    if let Some(v6) = host.strip_prefix('[') {
        return v6.strip_suffix(']').is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok());
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    // Browsers read whatever ends in a number as an address (the URL standard's "ends in a number").
    let is_number = labels.last().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    host.len() <= 253 && labels.iter().all(|label| is_label(label)) && (!is_number || host.parse::<Ipv4Addr>().is_ok())
}

/// One part of a path (RFC 3986 section 3.3) that means itself.
fn is_segment(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    let mut is_written_well = !segment.is_empty();
    while let Some(byte) = bytes.next() {
        is_written_well &= match byte {
            b'%' => bytes.next().zip(bytes.next()).is_some_and(|(a, b)| a.is_ascii_hexdigit() && b.is_ascii_hexdigit()),
            byte => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte),
        };
    }
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    is_written_well && plain != "." && plain != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_in_one_way() {
        for (given, text, base_path) in [
            ("https://api.example.com", "https://api.example.com", ""),
            ("https://api.example.com/", "https://api.example.com", ""),
            ("HTTPS://API.Example.com:443/", "https://api.example.com", ""),
            ("http://localhost:80", "http://localhost", ""),
            ("http://localhost:8080", "http://localhost:8080", ""),
            ("http://my_service:8080", "http://my_service:8080", ""),
            ("https://192.0.2.1", "https://192.0.2.1", ""),
            ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443", ""),
            ("https://example.com/app", "https://example.com/app", "/app"),
            ("https://example.com/App/v2/", "https://example.com/App/v2", "/App/v2"),
            ("https://example.com/%ED%95%9C", "https://example.com/%ED%95%9C", "/%ED%95%9C"),
        ] {
            let url = PublicUrl::read(given).unwrap();
            assert_eq!((url.text().as_str(), url.base_path()), (text, base_path), "{given}");
        }
    }

    #[test]
    fn what_it_cannot_be_is_told() {
        for (text, says) in [
            ("", "no `https://`"),
            ("example.com", "no `https://`"),
            ("ftp://example.com", "neither"),
            ("javascript://example.com", "neither"),
            ("https://example.com\n", "line end"),
            ("https://example.com\r\nX-Evil: 1", "line end"),
            ("https://exam ple.com", "space"),
            ("https://example.com\u{0}", "control"),
            ("https://example.com\u{85}", "control"),
            ("https://user@example.com", "user"),
            ("https://user:hunter2@example.com/app", "user"),
            ("https://example.com?x=1", "query"),
            ("https://example.com/app#top", "fragment"),
            ("https://", "no host"),
            ("https:///app", "no host"),
            ("https://:8080", "no host"),
            ("https://example..com", "no host"),
            ("https://-example.com", "no host"),
            ("https://exa_mple.com\u{202e}", "no host"),
            ("https://예시.kr", "xn--"),
            ("https://1.2.3", "no host"),
            ("https://[::1", "no host"),
            ("https://[::g]", "no host"),
            ("https://example.com\\app", "no host"),
            ("https://example.com:0", "port"),
            ("https://example.com:70000", "port"),
            ("https://example.com:", "port"),
            ("https://example.com:x", "port"),
            ("https://example.com//app", "empty part"),
            ("https://example.com/app//", "empty part"),
            ("https://example.com/../app", "`..`"),
            ("https://example.com/a/%2E%2e", "`..`"),
            ("https://example.com/a%2", "`%`"),
            ("https://example.com/a\"b", "`%`"),
            ("https://example.com/한", "`%`"),
        ] {
            let error = PublicUrl::read(text).unwrap_err();
            assert!(error.contains(says) && error.contains("https://api.example.com"), "{text:?}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
