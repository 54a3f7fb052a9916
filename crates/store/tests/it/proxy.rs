//! A way to the PostgreSQL server that a test can cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use testkit::TestDatabase;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Forwards connections while it is open. Held by the test; its tasks end when it is dropped.
pub struct Proxy {
    port: u16,
    config: Config,
    open: watch::Sender<bool>,
    frozen: watch::Sender<u64>,
    /// Accepts connections and says nothing.
    pub silent: Arc<AtomicBool>,
    /// How many connections were made through it.
    pub made: Arc<AtomicUsize>,
}

impl Proxy {
    pub async fn before(db: &TestDatabase) -> Self {
        let config: Config = db.url().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, is_open) = watch::channel(true);
        let (frozen, is_frozen) = watch::channel(0);
        let (silent, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        tokio::spawn(serve(listener, config.clone(), (is_open, is_frozen), silent.clone(), made.clone()));
        Self { port, config, open, frozen, silent, made }
    }

    /// The URL that goes through it.
    pub fn url(&self) -> String {
        let password = self.config.get_password().map_or(String::new(), |p| format!(":{}", String::from_utf8_lossy(p)));
        let user = self.config.get_user().unwrap_or("postgres");
        format!("postgres://{user}{password}@127.0.0.1:{}/{}", self.port, self.config.get_dbname().unwrap())
    }

    /// Cuts every connection, and every new one at once.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Nothing passes any more on the connections there are, and none of them ends.
    pub fn freeze(&self) {
        self.frozen.send_modify(|times| *times += 1);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

async fn serve(
    listener: TcpListener,
    config: Config,
    (mut is_open, is_frozen): (watch::Receiver<bool>, watch::Receiver<u64>),
    silent: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
) {
    loop {
        let client = tokio::select! {
            client = listener.accept() => client,
            // The test is over.
            () = async { while is_open.changed().await.is_ok() {} } => return,
        };
        let Ok((mut client, _)) = client else { return };
        made.fetch_add(1, Ordering::SeqCst);
        let (mut is_open, mut is_frozen) = (is_open.clone(), is_frozen.clone());
        let (config, silent) = (config.clone(), silent.clone());
        is_frozen.mark_unchanged();
        tokio::spawn(async move {
            if silent.load(Ordering::SeqCst) {
                let _ = is_open.wait_for(|open| !open).await;
                return;
            }
            let mut server = connect(&config).await;
            let cut = async { drop(is_open.wait_for(|open| !open).await) };
            let moved = async {
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    _ = is_frozen.changed() => std::future::pending().await,
                }
            };
            tokio::select! {
                () = moved => {}
                () = cut => {}
            }
        });
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn connect(config: &Config) -> Box<dyn Stream> {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match config.get_hosts().first() {
        Some(Host::Unix(folder)) => {
            Box::new(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await.unwrap())
        }
        Some(Host::Tcp(host)) => Box::new(TcpStream::connect((host.as_str(), port)).await.unwrap()),
        None => panic!("the URL of the server for tests names no host"),
    }
}
