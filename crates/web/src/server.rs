use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::addresses::{Addresses, Counted};
use crate::connection_timeouts::{Frames, Look, STEP, Watch, Watched};
use crate::framing::{Heads, LengthTwice};
use crate::load_shedding::LoadShedder;
use crate::pulse::{AwakeTimer, Pulse};
use crate::{Api, RequestBody, RuntimeKind, ServerSettings, unreadable};

/// A socket in front of an [`Api`]: HTTP/1.1 and HTTP/2 without TLS (h2c by prior knowledge, RFC 9113 section 3.3).
#[derive(Debug)]
pub struct Server {
    api: Arc<Api>,
    listeners: Vec<StdListener>,
    address: SocketAddr,
}

/// How far the shutdown has come. Held by every connection; changed by [`Server::run`] alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Serving.
    Open,
    /// No new requests; those that run may finish.
    Draining,
    /// Whatever still runs is cut.
    Cut,
}

/// How many connections there may be. Shared by the workers.
#[derive(Debug, Clone)]
struct Room {
    connections: Arc<Semaphore>,
    /// Those that were answered, and whose client still sends.
    lingering: Arc<Semaphore>,
    addresses: Arc<Addresses>,
}

/// Stops a server that runs in the background when asked, or when dropped.
#[derive(Debug)]
pub struct ServerHandle {
    address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl ServerHandle {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Drains and stops it.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            // The task ends by itself within the drain's bounds; that it panicked is in the log.
            let _ = task.await;
        }
    }
}

/// An address that is ours, where nobody is listened to yet: who connects is refused. So a server that starts learns that its
/// port is taken before it has made anything, and is found by nobody before it can answer.
#[derive(Debug)]
pub struct Reserved {
    /// One for each worker when workers share nothing.
    sockets: Vec<Socket>,
    address: SocketAddr,
}

impl Reserved {
    /// Takes the address of these settings.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn new(settings: &ServerSettings) -> io::Result<Self> {
        let count = if settings.runtime == RuntimeKind::PerCore { worker_count(settings) } else { 1 };
        let mut address = settings.listen;
        let mut sockets = Vec::with_capacity(count);
        if count > 1 {
            // Sockets that share a port would share it with another server of ours too: ask for it alone first. Port 0
            // is taken here, and the workers share what came of it.
            address = local(&socket(address, false)?)?;
        }
        for _ in 0..count {
            let socket = socket(address, count > 1)?;
            address = local(&socket)?;
            sockets.push(socket);
        }
        Ok(Self { sockets, address })
    }

    /// Lets clients connect.
    fn listen(self) -> io::Result<Vec<StdListener>> {
        let listen = |socket: Socket| socket.listen(BACKLOG).map(|()| socket.into());
        if self.sockets.len() > 1 {
            // As above: another that was started at the same time may listen by now.
            socket(self.address, false)?.listen(BACKLOG)?;
        }
        self.sockets.into_iter().map(listen).collect()
    }
}

impl Server {
    /// Opens the listener (one for each worker when workers share nothing).
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn bind(api: Arc<Api>) -> io::Result<Self> {
        let reserved = Reserved::new(api.settings())?;
        Self::on(reserved, api)
    }

    /// Opens the listener where an address was taken before.
    ///
    /// # Errors
    /// When another took it at the same time.
    pub fn on(reserved: Reserved, api: Arc<Api>) -> io::Result<Self> {
        let address = reserved.address;
        Ok(Self { api, listeners: reserved.listen()?, address })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs in the background of the present runtime.
    pub fn spawn(self) -> ServerHandle {
        let address = self.address;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            self.run(async move {
                // A handle that is dropped means the same as one that is stopped.
                let _ = stopped.await;
            })
            .await;
        });
        ServerHandle { address, stop: Some(stop), task: Some(task) }
    }

    /// Serves until `shutdown` is ready, then drains: not ready any more, no new connections, open requests finish
    /// within `drain_timeout_ms`, the rest is cut. Ends by itself.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let settings = self.api.settings().clone();
        let (stage, watched) = watch::channel(Stage::Open);
        let connections = settings.max_connections.min(Semaphore::MAX_PERMITS);
        let room = Room {
            connections: Arc::new(Semaphore::new(connections)),
            lingering: Arc::new(Semaphore::new(LINGERING.min(connections.div_ceil(8)))),
            addresses: Addresses::new(settings.connections_per_address()),
        };
        let mut workers = Vec::new();
        let mut listeners = self.listeners.into_iter();
        let first = listeners.next();
        for listener in listeners {
            let (api, room, watched) = (self.api.clone(), room.clone(), watched.clone());
            // One thread for each further worker; joined below, after the last stage.
            workers.push(std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                match runtime {
                    Ok(runtime) => runtime.block_on(worker(api, listener, room, watched)),
                    Err(error) => tracing::error!(target: "mainstay::server", %error, "a worker could not start"),
                }
            }));
        }
        let own = first.map(|listener| tokio::spawn(worker(self.api.clone(), listener, room.clone(), watched)));

        shutdown.await;
        self.api.begin_drain();
        tokio::time::sleep(Duration::from_millis(settings.drain_delay_ms)).await;
        stage.send_replace(Stage::Draining);
        let all = u32::try_from(settings.max_connections).unwrap_or(u32::MAX);
        let finished =
            tokio::time::timeout(Duration::from_millis(settings.drain_timeout_ms), room.connections.acquire_many(all))
                .await;
        if finished.is_err() {
            tracing::warn!(target: "mainstay::server", "requests still open after drain_timeout_ms were cut");
        }
        stage.send_replace(Stage::Cut);
        if let Some(own) = own {
            // It ends with the stage; a panic in it was logged where it happened.
            let _ = own.await;
        }
        for worker in workers {
            let _ = tokio::task::spawn_blocking(move || worker.join()).await;
        }
    }
}

/// Connections that wait in the system to be accepted.
const BACKLOG: i32 = 4096;

fn local(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("a socket of another kind"))
}

fn socket(address: SocketAddr, is_shared: bool) -> io::Result<Socket> {
    let domain = socket2::Domain::for_address(address);
    let socket = Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    // A restart must not wait for old connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// How many workers these settings mean.
pub(crate) fn worker_count(settings: &ServerSettings) -> usize {
    match settings.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

impl ServerSettings {
    /// How many workers these settings mean on this machine.
    pub fn worker_count(&self) -> usize {
        worker_count(self)
    }
}

async fn worker(api: Arc<Api>, listener: StdListener, room: Room, mut stage: watch::Receiver<Stage>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(target: "mainstay::server", %error, "a listener could not be used");
            return;
        }
    };
    let workers = match api.settings().runtime {
        RuntimeKind::WorkStealing => worker_count(api.settings()),
        RuntimeKind::PerCore => 1,
    };
    let shedder = LoadShedder::start(workers);
    let builder = connection_builder(api.settings(), shedder.pulse());
    // Failures to accept in a row.
    let mut failures = 0_u32;
    let worker = Arc::new(Worker { shedder, builder, api: api.clone() });
    loop {
        // Room first: what finds none waits in the system's backlog, not in our memory.
        let permit = tokio::select! {
            permit = room.connections.clone().acquire_owned() => permit,
            _ = stage.wait_for(|s| *s != Stage::Open) => break,
        };
        let Ok(permit) = permit else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stage.wait_for(|s| *s != Stage::Open) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                failures = 0;
                let counted = (!api.proxies.are(peer.ip())).then(|| room.addresses.enter(peer.ip()));
                if matches!(counted, Some(None)) {
                    close(&stream);
                    continue;
                }
                let watch = Watch::new(api.settings());
                let io = Guarded::new(stream, api.clone(), watch.clone(), room.lingering.clone());
                tokio::spawn(connection(worker.clone(), peer, io, watch, (permit, counted.flatten()), stage.clone()));
            }
            Err(error) => {
                // Out of descriptors, most often: those we have will come free. The first failure is logged, then every Nth.
                if failures.is_multiple_of(TOLD) {
                    tracing::warn!(target: "mainstay::server", %error, "a connection could not be accepted");
                }
                failures = failures.wrapping_add(1);
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
    drop(listener);
    // A share-nothing worker's runtime must live until its connections are done.
    let _ = stage.wait_for(|s| *s == Stage::Cut).await;
    tokio::task::yield_now().await;
}

/// How long nothing is accepted after a failure, and how many failures in a row give one log line.
const BACK_OFF: Duration = Duration::from_millis(50);
const TOLD: u32 = 100;

/// Closes a connection that is one too many. What its client has sent is taken first: closed on unread bytes it would be
/// reset, which tells the client less than an end.
fn close(stream: &TcpStream) {
    let _ = stream.try_read(&mut [0; 4096]);
    let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
}

/// How many headers hyper reads unless told otherwise.
const HYPERS_HEADERS: usize = 100;

/// Bytes of one HTTP/2 request's body that may be on their way (RFC 9113 section 5.2): a large body takes some round trips.
const STREAM_WINDOW: u32 = 64 * 1024;

fn connection_builder(settings: &ServerSettings, pulse: &Arc<Pulse>) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // Its timer is created again for each request; `Watch` has one for the connection.
        .header_read_timeout(None)
        // hyper's own limits stand above ours. What it says past them, and to what is no HTTP, `Guarded` makes a problem.
        .max_buf_size((settings.max_header_bytes * 2).max(64 * 1024));
    // Its own limit costs nothing; any other, two allocations for each request.
    if settings.max_headers >= HYPERS_HEADERS {
        builder.http1().max_headers(settings.max_headers * 2);
    }
    // No `pipeline_flush`: while unread bytes wait it flushes nothing, so the 400 for a head that cannot be read was lost.
    builder
        .http2()
        .timer(AwakeTimer(pulse.clone()))
        .max_concurrent_streams(settings.max_streams)
        // What a connection may have sent that nobody has read yet: hyper's own mebibyte, times the connections, is
        // gigabytes.
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(4 * STREAM_WINDOW)
        .max_header_list_size(u32::try_from(settings.max_header_bytes * 2).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(1024)
        .max_send_buf_size(256 * 1024)
        .keep_alive_interval(settings.header_timeout())
        .keep_alive_timeout(settings.header_timeout());
    builder
}

/// What all connections of a worker share.
struct Worker {
    api: Arc<Api>,
    shedder: Arc<LoadShedder>,
    builder: auto::Builder<TokioExecutor>,
}

async fn connection(
    worker: Arc<Worker>,
    peer: SocketAddr,
    io: Guarded,
    watch: Arc<Watch>,
    place: (OwnedSemaphorePermit, Option<Counted>),
    mut stage: watch::Receiver<Stage>,
) {
    let (watched, asked) = (watch.clone(), worker.clone());
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        if watched.is_ambiguous() {
            request.extensions_mut().insert(LengthTwice);
        }
        // Health checks are always answered, all the more now.
        let is_too_much = !request.uri().path().starts_with("/health/") && asked.shedder.is_too_much();
        let (worker, open) = (asked.clone(), watched.enter());
        async move {
            let response = worker.api.answer(request.map(RequestBody::Incoming), Some(peer), is_too_much).await;
            Ok::<_, Infallible>(response.map(|body| Watched::new(body, open)))
        }
    });
    let mut connection = pin!(worker.builder.serve_connection(TokioIo::new(io), service));
    let now = Instant::now();
    let mut look = pin!(sleep_until(match watch.look(now) {
        Look::Again(first) => first,
        Look::Idle | Look::Stuck => now,
    }));
    loop {
        let next = tokio::select! {
            // What has come is read before its client is judged.
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    // The client's doing: it went away, was too slow, or spoke no HTTP.
                    tracing::debug!(target: "mainstay::server", error = %error, "a connection ended early");
                }
                break;
            }
            () = look.as_mut() => match judge(&worker, &watch) {
                Look::Again(next) => {
                    look.as_mut().reset(next);
                    continue;
                }
                Look::Idle => break,
                Look::Stuck => {
                    tracing::debug!(target: "mainstay::server", "a connection was cut: its client takes nothing");
                    watch.cut();
                    break;
                }
            },
            changed = stage.changed() => changed.map_or(Stage::Cut, |()| *stage.borrow()),
        };
        match next {
            Stage::Open => {}
            Stage::Draining => connection.as_mut().graceful_shutdown(),
            Stage::Cut => break,
        }
    }
    drop(place);
}

/// Whether a timeout has expired, by the time that this process was awake.
fn judge(worker: &Worker, watch: &Watch) -> Look {
    let now = Instant::now();
    if let Some(woke) = worker.shedder.pulse().woke_at(now.into_std()) {
        watch.woke(woke.into());
    }
    watch.look(now)
}

/// Unsent bytes of answers that the system keeps for one connection. It would take megabytes from us, and hold them for a
/// client that reads nothing.
const UNSENT: u32 = 128 * 1024;

/// None of these is worth a connection: where the system refuses one, it goes without.
fn set_up(stream: &TcpStream, settings: &ServerSettings) {
    // Small answers must not wait for a full packet.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    {
        let socket = SockRef::from(stream);
        let _ = socket.set_tcp_notsent_lowat(UNSENT);
        // What the system has taken must be taken from it too, also after we have closed.
        let _ = socket.set_tcp_user_timeout(Some(settings.write_timeout()));
    }
}

/// A socket with timeouts: a client that takes nothing of an answer, or floods, is cut off. hyper's own timers do not
/// watch writes.
#[derive(Debug)]
struct Guarded {
    /// There until dropped.
    stream: Option<TcpStream>,
    api: Arc<Api>,
    watch: Arc<Watch>,
    lingering: Arc<Semaphore>,
    /// Bytes read so far, up to the length of HTTP/2's preface.
    opening: usize,
    /// Whether those bytes are that preface.
    is_preface: bool,
    /// Once the client is seen to speak HTTP/2.
    frames: Option<Frames>,
    /// Until then.
    heads: Heads,
    /// The last that is said on this connection, in the place of what hyper would say.
    last: Bytes,
    write_timeout: Duration,
    /// Bytes that left since the write timer was set.
    moved: usize,
    write_timer: Option<Pin<Box<Sleep>>>,
}

/// How HTTP/2 begins (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Guarded {
    fn new(stream: TcpStream, api: Arc<Api>, watch: Arc<Watch>, lingering: Arc<Semaphore>) -> Self {
        set_up(&stream, api.settings());
        let write_timeout = api.settings().write_timeout();
        Self {
            stream: Some(stream),
            api,
            watch,
            lingering,
            opening: 0,
            is_preface: true,
            frames: None,
            heads: Heads::default(),
            last: Bytes::new(),
            write_timeout,
            moved: 0,
            write_timer: None,
        }
    }

    fn poll_stream<T>(&mut self, poll: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &mut self.stream {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Lets a write through that moved something, and lets one that waits wait only so long. The timer runs until all was
    /// taken, or a whole step.
    fn watch_write(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = poll {
            if let Some(frames) = &mut self.frames {
                frames.sent(count);
            }
            self.moved += count;
            if self.moved >= STEP {
                self.write_timer = None;
            }
        }
        self.wait_write(cx, poll)
    }

    /// The same for what has no size: a flush, which is asked for when all was written.
    fn watch_end(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if poll.is_ready() {
            self.write_timer = None;
        }
        self.wait_write(cx, poll)
    }

    fn wait_write<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            return poll;
        }
        let (timeout, moved) = (self.write_timeout, &mut self.moved);
        let timer = self.write_timer.get_or_insert_with(|| {
            *moved = 0;
            Box::pin(sleep_until(Instant::now() + timeout))
        });
        ready!(timer.as_mut().poll(cx));
        self.watch.cut();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Puts a problem in the place of what hyper itself says to a head that it cannot read; how much of `bytes` that is.
    fn replace(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.frames.is_some() {
            return None;
        }
        let bare = unreadable::find(bytes)?;
        // While one is open these may be its answer's bytes, which only look so.
        if self.watch.is_open() {
            return None;
        }
        self.last = self.api.unreadable(bytes, bare).into();
        Some(bytes.len())
    }

    /// Writes what is to be said last.
    fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.last.is_empty() {
            let last = self.last.clone();
            let poll = self.poll_stream(|stream| stream.poll_write(cx, &last));
            match ready!(self.watch_write(cx, poll))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.last.advance(count),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Looks at what was just read.
    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.opening < PREFACE.len() {
            let count = bytes.len().min(PREFACE.len() - self.opening);
            self.is_preface &= PREFACE[self.opening..self.opening + count] == bytes[..count];
            self.opening += count;
            if self.is_preface && self.opening == PREFACE.len() {
                self.frames = Some(Frames::new());
                return self.read(&bytes[count..]);
            }
        }
        if let Some(frames) = &mut self.frames
            && !frames.take(bytes)
        {
            tracing::debug!(target: "mainstay::server", "a connection was cut: too many frames that carry nothing");
            self.watch.cut();
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if self.frames.is_none() && self.heads.take(bytes, || self.watch.is_open()) {
            self.watch.doubt();
        }
        Ok(())
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = self.poll_stream(|stream| stream.poll_read(cx, buf));
        if poll.is_ready() {
            self.read(&buf.filled()[before..])?;
        }
        poll
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = self.poll_stream(|stream| stream.poll_write(cx, buf));
        self.watch_write(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Heads alone: bodies follow in slices of their own. hyper writes HTTP/1 so wherever the socket takes it.
        if let [heads] = bufs
            && let Some(count) = self.replace(heads)
        {
            return Poll::Ready(Ok(count));
        }
        let poll = self.poll_stream(|stream| stream.poll_write_vectored(cx, bufs));
        self.watch_write(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(TcpStream::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_last(cx))?;
        let poll = self.poll_stream(|stream| stream.poll_flush(cx));
        self.watch_end(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_last(cx))?;
        let poll = self.poll_stream(|stream| stream.poll_shutdown(cx));
        self.watch_end(cx, poll)
    }
}

/// How long, how much, and how many clients may go on sending after the last answer: this many, or an eighth of the
/// connection limit.
const LINGER_TIME: Duration = Duration::from_secs(5);
const LINGER_BYTES: u64 = 64 * 1024 * 1024;
const LINGERING: usize = 256;

impl Drop for Guarded {
    /// A client that is still sending what was refused is listened to a little longer: closing now would reset the
    /// connection, and the reset can overtake our answer (RFC 9112 section 9.6).
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        if self.watch.is_cut() {
            // A reset: otherwise the system would go on offering what nobody takes.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            return;
        }
        let is_sending = matches!(stream.try_read(&mut [0; 1]), Ok(1..));
        if is_sending
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
            && let Ok(place) = self.lingering.clone().try_acquire_owned()
        {
            runtime.spawn(tokio::time::timeout(LINGER_TIME, async move {
                let _place = place;
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
                let mut rest = tokio::io::AsyncReadExt::take(stream, LINGER_BYTES);
                // Whatever happens to what we throw away does not matter.
                let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
            }));
        }
    }
}
