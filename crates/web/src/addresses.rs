//! How many connections each client address has: one alone cannot have them all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::client_ip::counted;

/// How often connections over the limit are logged.
const TELL: Duration = Duration::from_secs(1);

/// The connections of each address. Held by the workers and by every connection that is counted.
#[derive(Debug)]
pub(crate) struct Addresses {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Those that have any.
    open: HashMap<u128, usize>,
    refused: u64,
    told: Option<Instant>,
}

/// One connection of an address, until dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    addresses: Arc<Addresses>,
    address: u128,
}

impl Addresses {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more connection of this address; none where it has its share.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let address = counted(address);
        let mut state = self.state();
        let open = state.open.entry(address).or_insert(0);
        if *open < self.most {
            *open += 1;
            drop(state);
            return Some(Counted { addresses: self.clone(), address });
        }
        state.refused += 1;
        if state.told.is_none_or(|told| told.elapsed() >= TELL) {
            state.told = Some(Instant::now());
            tracing::warn!(
                target: "mainstay::server",
                connections = std::mem::take(&mut state.refused),
                most = self.most,
                "connections were closed: their address has as many as it may; behind a proxy, name it in \
                 server.trusted_proxies, otherwise see server.max_connections_per_address"
            );
        }
        None
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.addresses.state();
        if let Some(open) = state.open.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                state.open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own() {
        let addresses = Addresses::new(2);
        let enter = |text: &str| addresses.enter(text.parse().unwrap());
        let (first, second) = (enter("192.0.2.1"), enter("::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some());
        assert!(enter("192.0.2.1").is_none());
        let other = enter("192.0.2.2");
        assert!(other.is_some());
        let network = (enter("2001:db8::1"), enter("2001:db8::2"));
        assert!(network.0.is_some() && network.1.is_some() && enter("2001:db8::3").is_none(), "one customer's");
        drop(first);
        let again = enter("192.0.2.1");
        assert!(again.is_some());
        drop((second, other, network, again));
        assert!(addresses.state().open.is_empty());
    }
}
