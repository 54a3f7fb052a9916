//! What must hold of a request's head before anything is looked up: its size, whose it is, where its body ends. Two readers
//! of one request who could disagree about any of it, a proxy and we, are one too many.

use std::net::Ipv6Addr;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, Uri, Version};

use crate::framing::LengthTwice;
use crate::{Api, RequestBody, RequestError};

impl Api {
    /// Refuses what a head must not say.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn admit(&self, parts: &Parts, body: &RequestBody) -> Result<(), RequestError> {
        let (headers, uri) = (&parts.headers, &parts.uri);
        // Others have no coding of their own: HTTP/2 knows none, and of HTTP/1.0 hyper takes none.
        if !body.is_end() && parts.version == Version::HTTP_11 && !is_framed_once(parts) {
            return Err(RequestError::BadFraming);
        }
        // A call from within the process needs no host.
        check_host(parts, matches!(body, RequestBody::Incoming(_)))?;
        // A target is a path, or the server as a whole (RFC 9112 section 3.2); a proxy we are not.
        let path = uri.path();
        let is_ours =
            path.starts_with('/') || parts.method == Method::CONNECT || path == "*" && parts.method == Method::OPTIONS;
        if !is_ours || uri.scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
            return Err(RequestError::Unreadable);
        }
        let size = headers.iter().fold(path.len() + uri.query().map_or(0, str::len), |sum, (name, value)| {
            sum + name.as_str().len() + value.len()
        });
        if size > self.settings.max_header_bytes || headers.len() > self.settings.max_headers {
            return Err(RequestError::HeadersTooLarge);
        }
        if headers.len() != headers.keys_len() {
            // Two of these would let two readers of one request disagree (RFC 9110 section 5.3).
            for (name, shown) in
                [(AUTHORIZATION, "authorization"), (CONTENT_TYPE, "content-type"), (CONTENT_LENGTH, "content-length")]
            {
                if is_repeated(headers, name) {
                    return Err(RequestError::BadHeader { name: shown });
                }
            }
        }
        Ok(())
    }
}

fn is_repeated(headers: &HeaderMap, name: http::HeaderName) -> bool {
    headers.get_all(name).iter().nth(1).is_some()
}

/// Whether the end of a body of HTTP/1.1 is said in one way (RFC 9112 section 6.3): `chunked` once and alone, since no
/// other coding is taken, or a length. hyper looks at the last word of the last header only.
fn is_framed_once(parts: &Parts) -> bool {
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return true };
    codings.next().is_none()
        && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        && parts.extensions.get::<LengthTwice>().is_none()
}

/// RFC 9110 section 7.2, RFC 9112 section 3.2, RFC 9113 section 8.3.1. Where a target of HTTP/1.1 names a host itself, it
/// counts and `Host` is ignored (RFC 9112 section 3.2.2); in HTTP/2 the two must not differ.
fn check_host(parts: &Parts, is_from_wire: bool) -> Result<(), RequestError> {
    let (host, authority) = (parts.headers.get(HOST), parts.uri.authority());
    let is_named = match parts.version {
        _ if !is_from_wire => true,
        Version::HTTP_11 => host.is_some(),
        Version::HTTP_2 => host.is_some() || authority.is_some(),
        _ => true,
    };
    let is_good = is_named
        && host.is_none_or(|host| is_authority(host.as_bytes()))
        && authority.is_none_or(|authority| is_authority(authority.as_str().as_bytes()));
    let are_repeated = parts.headers.len() != parts.headers.keys_len();
    if !is_good || are_repeated && is_repeated(&parts.headers, HOST) {
        return Err(RequestError::BadHost);
    }
    if parts.version == Version::HTTP_2
        && let (Some(host), Some(authority)) = (host, authority)
        && !is_same(host.as_bytes(), authority.as_str().as_bytes(), &parts.uri)
    {
        return Err(RequestError::BadHost);
    }
    Ok(())
}

/// Whether these are a host, and a port if any (RFC 3986 section 3.2): no name of a user, and, since it is of `http` or
/// `https`, a host (RFC 9110 section 4.2.1).
fn is_authority(bytes: &[u8]) -> bool {
    let (host, port) = split_port(bytes);
    let is_port = port.len() <= 8
        && port.iter().all(u8::is_ascii_digit)
        && port.iter().fold(0, |sum: u32, digit| sum * 10 + u32::from(digit - b'0')) <= u32::from(u16::MAX);
    is_port && is_host(host)
}

/// Host and port, which may be empty. An IPv6 address holds colons of its own, in brackets.
fn split_port(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().rposition(|byte| matches!(byte, b':' | b']')) {
        Some(at) if bytes[at] == b':' => (&bytes[..at], &bytes[at + 1..]),
        _ => (bytes, &[]),
    }
}

fn is_host(bytes: &[u8]) -> bool {
    if let [b'[', v6 @ .., b']'] = bytes {
        return std::str::from_utf8(v6).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    }
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        rest = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => after,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => after,
            b'%' => match after {
                [high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => after,
                _ => return false,
            },
            _ => return false,
        };
    }
    !bytes.is_empty()
}

/// Whether two name one host and port; the port of the scheme need not be said.
fn is_same(one: &[u8], other: &[u8], uri: &Uri) -> bool {
    let default: &[u8] = if uri.scheme_str() == Some("https") { b"443" } else { b"80" };
    let port = |port: &'_ [u8]| -> Vec<u8> {
        let digits = port.iter().position(|digit| *digit != b'0').map_or(&[][..], |at| &port[at..]);
        if digits.is_empty() { default.to_vec() } else { digits.to_vec() }
    };
    let ((host, one), (other_host, other)) = (split_port(one), split_port(other));
    host.eq_ignore_ascii_case(other_host) && port(one) == port(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3986_section_3_2() {
        for good in [
            "x",
            "api.example.com",
            "API.example.com:8080",
            "api.example.com.",
            "api.example.com:",
            "api_1.example.com:080",
            "127.0.0.1:65535",
            "[::1]",
            "[::1]:8080",
            "[2001:db8::ffff:192.0.2.1]:1",
            "a%2Eb",
            "a!$&'()*+,;=~b",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            " ",
            "a b",
            "a\tb",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "user@host",
            "@host",
            "user:word@host",
            "host:99999",
            "host:65536",
            "host:000000080",
            "host:-1",
            "host:+80",
            "host:8x",
            "host: 80",
            "a:1:2",
            "::1",
            "[::1",
            "::1]",
            "[]",
            "[::1]x",
            "[::1]x:1",
            "[::1]:x",
            "[::1%25eth0]",
            "[host]",
            "[[::1]]",
            "a[::1]",
            "a%",
            "a%2",
            "a%zz",
            "<a>",
            "a\"b",
            "a|b",
            "a^b",
            "a`b",
            "{a}",
            "b\u{fc}cher.example",
            "a\0b",
            "a\u{7f}b",
            "http://host",
            "host:80/",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn a_host_is_the_same_however_it_is_written() {
        let uri = |scheme: &str| format!("{scheme}://x/").parse::<Uri>().unwrap();
        for (one, other, http, https) in [
            ("a", "a", true, true),
            ("A.example", "a.EXAMPLE", true, true),
            ("a", "b", false, false),
            ("a", "a:80", true, false),
            ("a:", "a:443", false, true),
            ("a:080", "a", true, false),
            ("a:8080", "a:08080", true, true),
            ("a:8080", "a", false, false),
            ("[::1]", "[::1]:80", true, false),
            ("[::1]", "::1", false, false),
        ] {
            for (scheme, expected) in [("http", http), ("https", https)] {
                assert_eq!(is_same(one.as_bytes(), other.as_bytes(), &uri(scheme)), expected, "{one} {other} {scheme}");
                assert_eq!(is_same(other.as_bytes(), one.as_bytes(), &uri(scheme)), expected, "{other} {one} {scheme}");
            }
        }
    }
}
