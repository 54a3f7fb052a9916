//! A way to a server of this machine that can be cut or frozen, for one node alone.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// How soon a connection notices what happens to its way.
const LOOK: Duration = Duration::from_millis(10);

/// What a way does with those who are on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All passes.
    Open = 0,
    /// Connections break, and new ones at once.
    Cut = 1,
    /// Connections stand, new ones are taken, and nothing passes: as when a cable is pulled.
    Frozen = 2,
}

/// Forwards connections. Dropped, it ends, and its threads with it.
pub struct Way {
    port: u16,
    shared: Arc<ProxyState>,
}

#[derive(Default)]
struct ProxyState {
    state: AtomicU8,
    is_over: AtomicBool,
}

impl ProxyState {
    fn is(&self, state: State) -> bool {
        self.state.load(Ordering::SeqCst) == state as u8
    }

    fn is_broken(&self) -> bool {
        self.is_over.load(Ordering::SeqCst) || self.is(State::Cut)
    }
}

impl Way {
    /// A way to this port, open.
    pub fn to(target: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
        listener.set_nonblocking(true).context("cannot listen without blocking")?;
        let port = listener.local_addr().context("cannot read a socket's address")?.port();
        let shared = Arc::new(ProxyState::default());
        let its = shared.clone();
        thread::spawn(move || accept(&listener, target, &its));
        Ok(Self { port, shared })
    }

    /// Where it begins, on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// From now on it is so.
    pub fn set(&self, state: State) {
        self.shared.state.store(state as u8, Ordering::SeqCst);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
    }
}

fn accept(listener: &TcpListener, target: u16, shared: &Arc<ProxyState>) {
    while !shared.is_over.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((client, _)) => {
                let shared = shared.clone();
                thread::spawn(move || carry(&client, target, &shared));
            }
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// One connection, until either side ends it or the way is cut.
fn carry(client: &TcpStream, target: u16, shared: &ProxyState) {
    wait_while_frozen(shared);
    if shared.is_broken() {
        return;
    }
    let Ok(server) = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], target))) else { return };
    for stream in [client, &server] {
        let is_ready = stream.set_nonblocking(false).and_then(|()| stream.set_nodelay(true));
        if is_ready.and_then(|()| stream.set_read_timeout(Some(LOOK))).is_err() {
            return;
        }
    }
    thread::scope(|scope| {
        scope.spawn(|| copy(client, &server, shared));
        copy(&server, client, shared);
    });
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, shared: &ProxyState) {
    let mut chunk = [0; 16 * 1024];
    while !shared.is_broken() {
        wait_while_frozen(shared);
        match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => {
                // What came as it froze does not pass.
                wait_while_frozen(shared);
                if shared.is_broken() || to.write_all(&chunk[..count]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    // So that the other direction ends too.
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn wait_while_frozen(shared: &ProxyState) {
    while shared.is(State::Frozen) && !shared.is_over.load(Ordering::SeqCst) {
        thread::sleep(LOOK);
    }
}
