//! Good clients: keep-alive, a fixed rate, and times that are counted from when a request was due, so that a stall is
//! felt by every request that had to wait for it.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::chaos::raw_http;

/// What good clients met.
#[derive(Default)]
pub struct Met {
    /// Milliseconds, sorted.
    pub times: Vec<f64>,
    /// Requests without an answer of 200.
    pub failed: usize,
}

impl Met {
    /// The time that this share of the requests stayed below, in milliseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.times.len().saturating_sub(1);
        let at = ((last as f64) * share).ceil() as usize;
        self.times.get(at.min(last)).copied().unwrap_or(f64::INFINITY)
    }
}

/// Clients that ask for the same, at the same rate each.
#[derive(Clone, Copy)]
pub struct Traffic<'a> {
    pub port: u16,
    pub path: &'a str,
    pub clients: u32,
    pub per_second: u32,
}

impl Traffic<'_> {
    /// Asks for so long, or while `goes_on`.
    pub fn run(&self, span: Duration, goes_on: impl Fn() -> bool + Sync) -> Met {
        let goes_on = &goes_on;
        let mut all = Met::default();
        thread::scope(|scope| {
            let clients: Vec<_> =
                (0..self.clients).map(|number| scope.spawn(move || self.client(number, span, goes_on))).collect();
            for client in clients {
                if let Ok(met) = client.join() {
                    all.times.extend(met.times);
                    all.failed += met.failed;
                }
            }
        });
        all.times.sort_by(f64::total_cmp);
        all
    }

    fn client(&self, number: u32, span: Duration, goes_on: &(impl Fn() -> bool + Sync)) -> Met {
        let step = Duration::from_secs(1) / self.per_second;
        let start = Instant::now() + step * number / self.clients;
        let request = raw_http::request("GET", self.path, "", "", b"");
        let mut line: Option<TcpStream> = None;
        let mut met = Met::default();
        for n in 0.. {
            let due = start + step * n;
            if due.duration_since(start) >= span || !goes_on() {
                break;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let mut stream = match line.take().map_or_else(|| raw_http::connect(self.port), Ok) {
                Ok(stream) => stream,
                Err(_) => {
                    met.failed += 1;
                    continue;
                }
            };
            let answer = stream.write_all(&request).ok().and_then(|()| raw_http::receive(&mut stream).ok());
            met.times.push(due.elapsed().as_secs_f64() * 1000.0);
            match answer {
                Some(response) if response.status == 200 => line = Some(stream),
                _ => met.failed += 1,
            }
        }
        met
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
