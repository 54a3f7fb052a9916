//! Heads of HTTP/1 that say twice how long their body is, by `Content-Length` and by `Transfer-Encoding`: hyper takes the
//! length out before anyone sees it. RFC 9112 section 6.3 lets a server refuse them: they ought to be an attack.

use memchr::memchr;

/// Marks a request of whose connection such a head was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LengthTwice;

const LENGTH: &[u8] = b"content-length:";
const CODING: &[u8] = b"transfer-encoding:";

/// Looks for such a head where one may begin: at the beginning of what is read at once, while no request is open. Most heads
/// begin with the G of a method that brings no body, and cost nothing here. One that is not looked at, hyper reads by its
/// coding and closes the connection after it, as section 6.1 has it.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    is_within: bool,
    /// How the present line begins, where it comes in pieces.
    line: [u8; CODING.len()],
    kept: usize,
    has_length: bool,
    has_coding: bool,
}

impl Heads {
    /// Takes what was read; whether a head has said both.
    pub(crate) fn take(&mut self, mut bytes: &[u8], is_open: impl FnOnce() -> bool) -> bool {
        if !self.is_within {
            if matches!(bytes, [] | [b'G', ..]) || is_open() {
                return false;
            }
            *self = Self { is_within: true, ..Self::default() };
        }
        while !bytes.is_empty() {
            let end = memchr(b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let is_whole = self.kept == 0 && end.is_some();
            if !is_whole {
                let count = part.len().min(self.line.len() - self.kept);
                self.line[self.kept..self.kept + count].copy_from_slice(&part[..count]);
                self.kept += count;
            }
            let Some(end) = end else { return false };
            bytes = &bytes[end + 1..];
            // Nearly every line comes in one piece.
            let line = if is_whole { part } else { &self.line[..std::mem::take(&mut self.kept)] };
            match line {
                [] | [b'\r'] => {
                    // What follows is a body, or another head.
                    self.is_within = false;
                    return self.has_length && self.has_coding;
                }
                [b'c' | b'C', ..] => self.has_length |= begins_with(line, LENGTH),
                [b't' | b'T', ..] => self.has_coding |= begins_with(line, CODING),
                _ => {}
            }
        }
        false
    }
}

fn begins_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_told(text: &str, cut: usize) -> bool {
        let mut heads = Heads::default();
        text.as_bytes().chunks(cut).any(|bytes| heads.take(bytes, || false))
    }

    #[test]
    fn a_head_that_says_both_is_told_however_it_is_cut() {
        let (length, coding) = ("Content-Length: 5\r\n", "TRANSFER-encoding:chunked\r\n");
        for (headers, expected) in [
            (format!("{length}{coding}"), true),
            (format!("{coding}x: y\r\n{length}"), true),
            (format!("{coding}{length}").replace('\r', ""), true),
            (format!("{length}{length}"), false),
            (coding.to_owned(), false),
            (format!("x-{length}{coding}"), false),
            (format!("{length}x: {coding}"), false),
        ] {
            for cut in [1, 2, 7, 24, 1000] {
                let text = format!("POST / HTTP/1.1\r\nhost: x\r\n{headers}\r\nbody");
                assert_eq!(is_told(&text, cut), expected, "{headers:?} in pieces of {cut}");
            }
        }
    }

    #[test]
    fn a_body_is_no_head() {
        let text = "POST / HTTP/1.1\r\ncontent-length: 99\r\n\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(!is_told(text, 1000));
        let both = b"PUT / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut heads = Heads::default();
        assert!(!heads.take(both, || true), "a request is open: this is of its body");
        assert!(!heads.take(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", || false));
        assert!(heads.take(both, || false));
    }
}
