use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::client_ip::TrustedProxies;
use crate::cors::Cors;

/// How requests are received: the listener, its limits and its patience.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Address and port to listen on. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// How workers share work: `work-stealing`, or `per-core` for many connections with uniformly short handlers.
    pub runtime: RuntimeKind,
    /// Proxies whose `X-Forwarded-For` is believed, by address or network: `10.0.0.0/8`, `::1`. Of anybody else's nothing is,
    /// and limits by address count the peer's own.
    pub trusted_proxies: Vec<String>,
    /// Number of worker threads. 0 means one per core.
    pub workers: usize,
    /// Connections open at once. Further ones wait in the system's backlog. Fewer where the process may not have so many files
    /// open; the limit is raised as far as the system lets it, and the log tells when that is not enough.
    pub max_connections: usize,
    /// Connections that one client address may have open at once (of IPv6 its network, `/64`); 0 means a quarter of all, but no
    /// fewer than 1,024. Further ones are closed. Those of trusted proxies are not counted.
    pub max_connections_per_address: usize,
    /// Largest request body, in bytes. An operation whose published schema bounds its body takes what that lets through, or
    /// 16 KiB where it is less; for it an escaped character counts, beyond this size, as the character.
    pub max_body_bytes: usize,
    /// Memory that bodies above 16 KiB may take together, in bytes, until each is answered; as much again is for parts of
    /// smaller ones. Who finds none free within two seconds is answered `overloaded`.
    pub body_memory_bytes: usize,
    /// A page of a list ends with the item that fills so many bytes, and the cursor of the next; one item that has more by
    /// itself is a page.
    pub page_bytes: usize,
    /// Memory that answers above 16 KiB may take together, in bytes, until they have left; one client address has at most
    /// a quarter of it. A read for whose answer there is none within a second is answered `overloaded`.
    pub answer_memory_bytes: usize,
    /// Largest header section, in bytes (names and values together).
    pub max_header_bytes: usize,
    /// Most header fields in one request.
    pub max_headers: usize,
    /// Time a client has to send a request's headers, and an idle connection may stay open, in milliseconds.
    pub header_timeout_ms: u64,
    /// Time for a whole request, from its headers until its answer begins, in milliseconds.
    pub request_timeout_ms: u64,
    /// Time a client has to take each 16 KiB of an answer that waits for it, in milliseconds.
    pub write_timeout_ms: u64,
    /// Requests one HTTP/2 connection may have open at once.
    pub max_streams: u32,
    /// Time between "not ready" and the closing of the listener on shutdown, in milliseconds.
    pub drain_delay_ms: u64,
    /// Time open requests have to finish on shutdown, in milliseconds. Then they are cut.
    pub drain_timeout_ms: u64,
    /// Bodies smaller than this are never compressed, in bytes.
    pub compress_above_bytes: usize,
    /// Whether `/docs` and `/redoc` are served: the pages on which people read the API and try it.
    pub docs: bool,
    /// Which other origins' pages may call the API.
    pub cors: CorsSettings,
}

/// How workers share work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeKind {
    /// One runtime; an idle worker takes work from a busy one.
    WorkStealing,
    /// A runtime for each core that shares nothing.
    PerCore,
}

/// Cross-origin requests (the Fetch standard's CORS protocol). Closed unless origins are named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CorsSettings {
    /// Origins whose pages may call the API: scheme, host and port, as in `https://app.example.com`. No wildcards.
    pub origins: Vec<String>,
    /// Request headers that those pages may send, besides those the API itself reads.
    pub allowed_headers: Vec<String>,
    /// Response headers that those pages may read, besides those the API itself sends.
    pub exposed_headers: Vec<String>,
    /// Whether those pages may send cookies.
    pub credentials: bool,
    /// How long a browser may remember a preflight's answer, in seconds.
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
