use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client_ip::TrustedProxies;
use crate::cors::Cors;

/// The HTTP server: its listener, limits and timeouts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Address and port to listen on. Port 0 selects a free port.
    pub listen: SocketAddr,
    /// How worker threads share work: `work-stealing`, or `per-core` for many connections with uniformly short
    /// handlers.
    pub runtime: RuntimeKind,
    /// Proxies whose `X-Forwarded-For` header the server trusts, by IP address or network: `10.0.0.0/8`, `::1`.
    /// `X-Forwarded-For` from any other address is ignored, and address limits use the peer's IP.
    pub trusted_proxies: Vec<String>,
    /// Number of worker threads. 0 means one per core.
    pub workers: usize,
    /// Maximum number of open connections. Further connections wait in the operating system's backlog. Each connection
    /// needs an open file: the server raises the process's open-file limit as far as the system allows. If the limit is
    /// still too low, the server accepts fewer connections and logs this.
    pub max_connections: usize,
    /// Maximum number of open connections from one client IP address. IPv6 addresses are counted by network (`/64`). 0
    /// means a quarter of `max_connections`, but at least 1,024. Further connections are closed. Connections from
    /// trusted proxies are not counted.
    pub max_connections_per_address: usize,
    /// Maximum size of a request body, in bytes. If the published schema of an operation limits the size of its body,
    /// the maximum is the largest body that the schema allows, but at least 16 KiB. If such a body is larger than this
    /// setting, each escaped character counts as the character itself.
    pub max_body_bytes: usize,
    /// Memory for all request bodies above 16 KiB together, in bytes. A body uses this memory until its request is
    /// answered. A second pool of the same size holds parts of smaller bodies. A request that gets no memory within two
    /// seconds is answered 503 `overloaded`.
    pub body_memory_bytes: usize,
    /// Maximum size of the items on one page of a list, in bytes. If the next item does not fit, the page ends and
    /// contains the cursor of the next page. A single item that is larger than this size is a page by itself.
    pub page_bytes: usize,
    /// Memory for all responses above 16 KiB together, in bytes. A response uses this memory until it is sent. One
    /// client IP address can use at most a quarter of it. A read whose response gets no memory within one second is
    /// answered 503 `overloaded`.
    pub answer_memory_bytes: usize,
    /// Maximum size of the header section, in bytes (names and values together).
    pub max_header_bytes: usize,
    /// Maximum number of header fields in one request.
    pub max_headers: usize,
    /// Time limit for a client to send the headers of a request, in milliseconds. An idle connection is closed after
    /// the same time.
    pub header_timeout_ms: u64,
    /// Time limit for a whole request, from its headers to the start of the response, in milliseconds.
    pub request_timeout_ms: u64,
    /// Time limit for a client to receive each 16 KiB of a response, in milliseconds. The limit applies while the
    /// response waits for the client.
    pub write_timeout_ms: u64,
    /// Maximum number of open requests on one HTTP/2 connection.
    pub max_streams: u32,
    /// Delay on shutdown between reporting "not ready" and closing the listener, in milliseconds.
    pub drain_delay_ms: u64,
    /// Time limit for open requests to finish on shutdown, in milliseconds. The server then closes their connections.
    pub drain_timeout_ms: u64,
    /// Minimum size of a response body for compression, in bytes. The server never compresses smaller bodies.
    pub compress_above_bytes: usize,
    /// Whether the server serves `/docs` and `/redoc`, the web pages for reading and trying the API.
    pub docs: bool,
    /// Which other origins may call the API.
    pub cors: CorsSettings,
}

/// How worker threads share work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeKind {
    /// One runtime. An idle worker thread takes work from a busy one.
    WorkStealing,
    /// One runtime per core. The runtimes share nothing.
    PerCore,
}

/// Cross-origin requests (the CORS protocol of the Fetch standard). They are refused unless origins are listed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CorsSettings {
    /// Origins whose pages may call the API: scheme, host and port, for example `https://app.example.com`. Wildcards
    /// are not supported.
    pub origins: Vec<String>,
    /// Additional request headers that pages of these origins may send. Headers that the API itself reads are always
    /// allowed.
    pub allowed_headers: Vec<String>,
    /// Additional response headers that pages of these origins may read. Headers that the API itself sends are always
    /// readable.
    pub exposed_headers: Vec<String>,
    /// Whether pages of these origins may send cookies.
    pub credentials: bool,
    /// How long a browser may cache the response to a preflight request, in seconds.
    pub max_age_s: u32,
}

impl Default for CorsSettings {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            // What tracing in browsers adds to every request, and jQuery's mark.
            allowed_headers: ["baggage", "sentry-trace", "tracestate", "x-requested-with"].map(str::to_owned).to_vec(),
            exposed_headers: Vec::new(),
            credentials: false,
            max_age_s: 0,
        }
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            runtime: RuntimeKind::WorkStealing,
            trusted_proxies: Vec::new(),
            workers: 0,
            max_connections: 20_000,
            max_connections_per_address: 0,
            max_body_bytes: 1024 * 1024,
            body_memory_bytes: 64 * 1024 * 1024,
            page_bytes: 1024 * 1024,
            answer_memory_bytes: 64 * 1024 * 1024,
            max_header_bytes: 16 * 1024,
            max_headers: 64,
            // A client is to be cut within ten seconds: what is left is for a busy machine.
            header_timeout_ms: 8_000,
            request_timeout_ms: 8_000,
            write_timeout_ms: 8_000,
            max_streams: 128,
            drain_delay_ms: 0,
            drain_timeout_ms: 10_000,
            compress_above_bytes: 1024,
            docs: true,
            cors: CorsSettings::default(),
        }
    }
}

impl ServerSettings {
    /// Contradictions between the fields, each with what to do.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn validate(&self) -> Result<(), String> {
        let positive = [
            ("server.max_connections", self.max_connections as u64),
            ("server.max_body_bytes", self.max_body_bytes as u64),
            ("server.page_bytes", self.page_bytes as u64),
            ("server.answer_memory_bytes", self.answer_memory_bytes as u64),
            ("server.max_header_bytes", self.max_header_bytes as u64),
            ("server.max_headers", self.max_headers as u64),
            ("server.header_timeout_ms", self.header_timeout_ms),
            ("server.request_timeout_ms", self.request_timeout_ms),
            ("server.write_timeout_ms", self.write_timeout_ms),
            ("server.max_streams", u64::from(self.max_streams)),
        ];
        for (name, value) in positive {
            if value == 0 {
                return Err(format!("{name} is 0, which would refuse everything. Set it to 1 or more."));
            }
        }
        if self.body_memory_bytes < self.max_body_bytes {
            return Err(format!(
                "server.body_memory_bytes is {}, too little for one body of server.max_body_bytes ({}). Set it to that or \
                 more, many times as much where several are sent at once.",
                self.body_memory_bytes, self.max_body_bytes
            ));
        }
        if self.answer_memory_bytes / 4 < self.page_bytes {
            return Err(format!(
                "server.answer_memory_bytes is {}, of which one address has a quarter: too little for a page of \
                 server.page_bytes ({}). Set it to four times that or more, or make pages smaller.",
                self.answer_memory_bytes, self.page_bytes
            ));
        }
        if self.max_header_bytes > 256 * 1024 {
            return Err("server.max_header_bytes is above 262144 (256 KiB). Set it lower.".to_owned());
        }
        if self.max_headers > 500 {
            return Err("server.max_headers is above 500. Set it lower.".to_owned());
        }
        TrustedProxies::read(&self.trusted_proxies)?;
        Cors::read(&self.cors)?;
        Ok(())
    }

    /// How many connections one address may have.
    pub(crate) fn connections_per_address(&self) -> usize {
        match self.max_connections_per_address {
            0 => (self.max_connections / 4).max(1024),
            most => most,
        }
    }

    pub(crate) const fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    pub(crate) const fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    pub(crate) const fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }
}
