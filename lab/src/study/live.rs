//! How it goes, for Prometheus: the last measurement of each target and endpoint, and how much is done.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::results::Sample;
use crate::study::plan::Cell;

/// What is told.
#[derive(Clone)]
pub struct Live(Arc<Mutex<State>>);

struct State {
    total: usize,
    done: usize,
    last: BTreeMap<(String, &'static str), Sample>,
}

impl Live {
    /// Listens on `port`, if there is one, until the program ends.
    pub fn start(port: Option<u16>, total: usize) -> Result<Self> {
        let live = Self(Arc::new(Mutex::new(State { total, done: 0, last: BTreeMap::new() })));
        if let Some(port) = port {
            // Prometheus may be in a container, for which this machine's loopback is another's.
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
            let listener = listener.with_context(|| format!("cannot listen on the port {port}"))?;
            let told = live.clone();
            thread::spawn(move || {
                for socket in listener.incoming().flatten() {
                    // Whoever asks badly is not answered; the next one is.
                    let _ = told.answer(socket);
                }
            });
        }
        Ok(live)
    }

    /// Counts a measurement.
    pub fn measured(&self, cell: &Cell, sample: &Sample) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += 1;
        state.last.insert((cell.target.clone(), cell.endpoint.name()), sample.clone());
    }

    fn answer(&self, mut socket: TcpStream) -> std::io::Result<()> {
        let timeout = Some(Duration::from_secs(2));
        socket.set_read_timeout(timeout)?;
        socket.set_write_timeout(timeout)?;
        let mut head = [0; 1024];
        let read = socket.read(&mut head)?;
        let asked = String::from_utf8_lossy(&head[..read]);
        let (status, body) = if asked.starts_with("GET /metrics ") {
            ("200 OK", self.text())
        } else {
            ("404 Not Found", "only /metrics\n".to_owned())
        };
        write!(
            socket,
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\nconnection: close\r\n\
             \r\n{body}",
            body.len()
        )
    }

    /// The exposition format, version 0.0.4.
    fn text(&self) -> String {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        let mut one = |name: &str, help: &str, value: usize| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        };
        one("lab_cells_total", "Measurements that are planned.", state.total);
        one("lab_cells_done", "Measurements that were taken.", state.done);
        for (name, help, measure, scale) in [
            ("lab_requests_per_second", "Answers in a second, of the last measurement.", "requests_per_s", 1.0),
            ("lab_cpu_seconds_per_request", "Processor time of the server for an answer.", "cpu_us_per_request", 1e-6),
            ("lab_server_resident_bytes", "Resident memory of the server under load.", "memory_mib", 1_048_576.0),
        ] {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for ((target, endpoint), sample) in &state.last {
                if let Some(value) = sample.get(measure) {
                    let value = value * scale;
                    let _ = writeln!(text, "{name}{{target=\"{target}\",endpoint=\"{endpoint}\"}} {value}");
                }
            }
        }
        let name = "lab_latency_seconds";
        let _ = writeln!(text, "# HELP {name} How long answers took.\n# TYPE {name} gauge");
        for ((target, endpoint), sample) in &state.last {
            for (share, measure) in [("0.5", "p50_us"), ("0.99", "p99_us")] {
                if let Some(value) = sample.get(measure) {
                    let labels = format!("target=\"{target}\",endpoint=\"{endpoint}\",quantile=\"{share}\"");
                    let _ = writeln!(text, "{name}{{{labels}}} {}", value / 1e6);
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::plan::{Endpoint, Factors};

    #[test]
    fn tells_of_the_last_measurement() {
        let live = Live::start(None, 7).unwrap();
        let cell = Cell { target: "a".into(), endpoint: Endpoint::Db, factors: Factors::default() };
        live.measured(&cell, &Sample::from([("requests_per_s".to_owned(), 12.5), ("p99_us".to_owned(), 2000.0)]));
        let text = live.text();
        for line in [
            "lab_cells_total 7",
            "lab_cells_done 1",
            "lab_requests_per_second{target=\"a\",endpoint=\"db\"} 12.5",
            "lab_latency_seconds{target=\"a\",endpoint=\"db\",quantile=\"0.99\"} 0.002",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in {text}");
        }
    }
}
