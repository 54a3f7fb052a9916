//! From which address a request comes, where proxies stand between: what `X-Forwarded-For` says is believed as far as
//! trusted proxies wrote it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::header::{HeaderMap, HeaderName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The most proxies one behind another. Those before them are not looked at.
const MOST_HOPS: usize = 32;

/// How much of the client's IP address the access log contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAddress {
    /// No address.
    None,
    /// Only the network, `203.0.113.0/24` or `2001:db8:1::/48`. This shows where load comes from, but does not identify
    /// one person among the addresses of that network.
    #[default]
    Network,
    /// The full address.
    Full,
}

impl ClientAddress {
    /// What the log is to say.
    pub(crate) fn of(self, address: Option<IpAddr>) -> Option<Shown> {
        match self {
            Self::None => None,
            Self::Network => address.map(|address| Shown { address: address.to_canonical(), is_network: true }),
            Self::Full => address.map(|address| Shown { address: address.to_canonical(), is_network: false }),
        }
    }
}

/// An address as the log says it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    address: IpAddr,
    is_network: bool,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.is_network) {
            // Each request has one: written by hand, in one piece.
            (IpAddr::V4(v4), is_network) => {
                let [a, b, c, d] = v4.octets();
                let mut text = [0; "255.255.255.255/24".len()];
                let mut length = 0;
                let mut put = |byte: u8| {
                    text[length] = byte;
                    length += 1;
                };
                for (n, part) in [a, b, c, if is_network { 0 } else { d }].into_iter().enumerate() {
                    if n > 0 {
                        put(b'.');
                    }
                    if part >= 100 {
                        put(b'0' + part / 100);
                    }
                    if part >= 10 {
                        put(b'0' + part / 10 % 10);
                    }
                    put(b'0' + part % 10);
                }
                if is_network {
                    b"/24".iter().for_each(|byte| put(*byte));
                }
                f.write_str(std::str::from_utf8(&text[..length]).unwrap_or_default())
            }
            (IpAddr::V6(v6), true) => write!(f, "{}/48", Ipv6Addr::from_bits(v6.to_bits() & mask(48))),
            (IpAddr::V6(v6), false) => v6.fmt(f),
        }
    }
}

/// Addresses whose word on where a request comes from is believed.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrustedProxies(Vec<Network>);

/// A network, or one address. IPv4 stands mapped into IPv6, as a socket for both shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    base: u128,
    bits: u32,
}

/// An address as a number, IPv4 mapped into IPv6 (RFC 4291 section 2.5.5.2).
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

pub(crate) use kernel::network_of as counted;

impl Network {
    fn read(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) if bits.bytes().all(|b| b.is_ascii_digit()) => {
                (address, Some(bits.parse::<u32>().ok()?))
            }
            Some(_) => return None,
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (most, before) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let bits = bits.unwrap_or(most);
        (bits <= most).then(|| {
            let bits = bits + before;
            Self { base: number(address) & mask(bits), bits }
        })
    }

    fn holds(self, address: u128) -> bool {
        address & mask(self.bits) == self.base
    }
}

const fn mask(bits: u32) -> u128 {
    if bits == 0 { 0 } else { u128::MAX << (128 - bits) }
}

impl TrustedProxies {
    /// Reads them.
    ///
    /// # Errors
    /// The first that is none, and what to write.
    pub(crate) fn read(texts: &[String]) -> Result<Self, String> {
        let read = |text: &String| {
            Network::read(text.trim()).ok_or_else(|| {
                format!("server.trusted_proxies holds `{text}`; write an address or a network, as in 10.0.0.0/8 or ::1")
            })
        };
        texts.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether this address is one.
    pub(crate) fn are(&self, address: IpAddr) -> bool {
        let address = number(address);
        self.0.iter().any(|network| network.holds(address))
    }

    /// The client's address. Each proxy appends who spoke to it, so the list is read from its end, as long as who wrote is
    /// trusted; what cannot be read ends it, and the last that was told counts: never nobody.
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.ip();
        if self.0.is_empty() || !self.are(client) {
            return client;
        }
        let values = headers.get_all(&X_FORWARDED_FOR).iter().collect::<Vec<_>>();
        // What is not text is one entry that cannot be read.
        let entries = values.into_iter().rev().flat_map(|value| value.to_str().unwrap_or("?").rsplit(','));
        for entry in entries.take(MOST_HOPS) {
            let Some(told) = read_address(entry.trim()) else { return client };
            client = told;
            if !self.are(client) {
                return client;
            }
        }
        client
    }
}

/// An address as proxies write it: some with its port, and IPv6 then in brackets.
fn read_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let trusted = trusted.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(X_FORWARDED_FOR, value.parse().unwrap());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        TrustedProxies::read(&trusted).unwrap().client(peer, &headers).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        for (trusted, peer, forwarded, expected) in [
            (&[][..], "192.0.2.9", &["198.51.100.1"][..], "192.0.2.9"),
            (&["10.0.0.0/8"], "192.0.2.9", &["198.51.100.1"], "192.0.2.9"),
            (&["10.0.0.0/8"], "10.1.2.3", &[], "10.1.2.3"),
            (&["10.0.0.0/8"], "10.1.2.3", &["198.51.100.1"], "198.51.100.1"),
            // What the client wrote before the first trusted proxy is anybody's word.
            (&["10.0.0.0/8"], "10.1.2.3", &["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
            (&["10.0.0.0/8"], "10.1.2.3", &["1.1.1.1, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),
            (&["10.0.0.0/8"], "10.1.2.3", &["1.1.1.1", "198.51.100.1", "10.9.9.9"], "198.51.100.1"),
            // What cannot be read is not skipped.
            (&["10.0.0.0/8"], "10.1.2.3", &["1.1.1.1, unknown"], "10.1.2.3"),
            (&["10.0.0.0/8"], "10.1.2.3", &["1.1.1.1, , 10.9.9.9"], "10.9.9.9"),
            (&["10.0.0.0/8"], "10.1.2.3", &[""], "10.1.2.3"),
            (&["10.0.0.0/8"], "10.1.2.3", &["198.51.100.1:4711"], "198.51.100.1"),
            (&["::1"], "::1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["127.0.0.1"], "::ffff:127.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            (&["0.0.0.0/0"], "10.1.2.3", &["1.1.1.1"], "1.1.1.1"),
        ] {
            assert_eq!(client(trusted, peer, forwarded), expected, "{trusted:?} {peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_chain_of_trusted_proxies_is_followed_so_far() {
        let chain = |hops: usize| format!("198.51.100.1{}", ", 10.0.0.7".repeat(hops));
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &[&chain(MOST_HOPS - 1)]), "198.51.100.1");
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &[&chain(MOST_HOPS)]), "10.0.0.7");
        assert_eq!(client(&["10.0.0.0/8"], "10.1.2.3", &[&chain(1), &chain(1000)]), "10.0.0.7");
    }

    #[test]
    fn the_log_says_as_much_of_an_address_as_it_may() {
        for (address, network, full) in [
            ("203.0.113.7", "203.0.113.0/24", "203.0.113.7"),
            ("255.255.255.255", "255.255.255.0/24", "255.255.255.255"),
            ("10.0.100.10", "10.0.100.0/24", "10.0.100.10"),
            ("::ffff:192.0.2.99", "192.0.2.0/24", "192.0.2.99"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48", "2001:db8:1:2:3:4:5:6"),
            ("::1", "::/48", "::1"),
        ] {
            let address = Some(address.parse().unwrap());
            assert_eq!(ClientAddress::Network.of(address).unwrap().to_string(), network);
            assert_eq!(ClientAddress::Full.of(address).unwrap().to_string(), full);
            assert!(ClientAddress::None.of(address).is_none());
        }
        assert!(ClientAddress::Full.of(None).is_none());
    }

    #[test]
    fn what_is_no_network_is_told() {
        for text in
            ["", "10.0.0.0/33", "10.0.0/8", "::/129", "localhost", "10.0.0.1/x", "10.0.0.0/+8", "10.0.0.0/", "[::1]"]
        {
            let error = TrustedProxies::read(&[text.to_owned()]).unwrap_err();
            assert!(error.contains(text) && error.contains("10.0.0.0/8"), "{error}");
        }
    }

    #[test]
    fn an_ipv6_customer_is_counted_as_one() {
        let counted = |text: &str| super::counted(text.parse().unwrap());
        assert_eq!(counted("2001:db8::1"), counted("2001:db8::ffff:1"));
        assert_ne!(counted("2001:db8::1"), counted("2001:db8:0:1::1"));
        assert_ne!(counted("192.0.2.1"), counted("192.0.2.2"));
        assert_eq!(counted("192.0.2.1"), counted("::ffff:192.0.2.1"));
        assert_ne!(counted("::1"), 0);
    }
}
