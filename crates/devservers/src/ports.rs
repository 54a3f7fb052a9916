use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::TcpListener;

use anyhow::{Result, bail};

/// Below those that the system gives to outgoing connections: one of them would otherwise take the port of a server that was
/// killed before it starts again.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
/// A server of a Redis cluster has a second port, this much higher.
pub(crate) const CLUSTER_BUS: u16 = 10_000;

/// A port of 127.0.0.1 on which nobody listens at this moment.
///
/// # Errors
/// When a thousand tries find none.
pub fn free_port() -> Result<u16> {
    free_port_below(PORTS.end, |_| true)
}

/// A free port below this one that also satisfies a condition.
pub(crate) fn free_port_below(end: u16, also: impl Fn(u16) -> bool) -> Result<u16> {
    for _ in 0..1000 {
        let drawn = RandomState::new().build_hasher().finish() % u64::from(end - PORTS.start);
        let port = PORTS.start + u16::try_from(drawn).unwrap_or(0);
        if is_free(port) && also(port) {
            return Ok(port);
        }
    }
    bail!("no port of 127.0.0.1 is free between {} and {end}", PORTS.start)
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
