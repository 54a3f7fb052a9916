#![doc = include_str!("../README.md")]

mod filter;
mod queue;

use std::fmt;
use std::io::Write;

use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

pub use filter::check_filter;
pub use queue::Guard;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people: time, level, then what happened.
    Text,
    /// For machines: one JSON object.
    Json,
}

/// Why there is no log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitError {
    /// The filter cannot be read; what to write instead.
    Filter(String),
    /// This process logs already.
    Twice,
    /// The system has no thread to give.
    NoThread,
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(advice) => f.write_str(advice),
            Self::Twice => f.write_str("this process has a log already; start it once, at the beginning"),
            Self::NoThread => {
                f.write_str("the system has no thread to give for the log; raise its limit (`ulimit -u`)")
            }
        }
    }
}

impl std::error::Error for InitError {}

/// Sends every event that passes `filter` to standard error from now on, until the process ends.
///
/// # Errors
/// When the filter cannot be read, or the log was started before.
pub fn init(filter: &str, format: Format) -> Result<Guard, InitError> {
    start(filter, format, std::io::stderr())
}

fn start(filter: &str, format: Format, out: impl Write + Send + 'static) -> Result<Guard, InitError> {
    let (guard, subscriber) = subscriber(filter, format, out)?;
    subscriber.try_init().map_err(|_| InitError::Twice)?;
    Ok(guard)
}

fn subscriber(
    filter: &str,
    format: Format,
    out: impl Write + Send + 'static,
) -> Result<(Guard, impl tracing::Subscriber + Send + Sync), InitError> {
    let filter: EnvFilter = filter::parse(filter).map_err(InitError::Filter)?;
    let (queue, guard) = queue::start(format, out).map_err(|_| InitError::NoThread)?;
    let lines = match format {
        Format::Text => layer().with_target(false).with_ansi(false).with_writer(queue).boxed(),
        Format::Json => layer().json().flatten_event(true).with_ansi(false).with_writer(queue).boxed(),
    };
    Ok((guard, tracing_subscriber::registry().with(lines.with_filter(filter))))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(filter: &str, format: Format, story: impl FnOnce()) -> String {
        let paper = Paper::default();
        let (guard, subscriber) = subscriber(filter, format, paper.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, story);
        drop(guard);
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn people_get_text() {
        let text = written("info", Format::Text, || {
            tracing::info!(target: "mainstay::access", status = 200, "served");
            tracing::debug!("not asked for");
        });
        assert!(text.ends_with("  INFO served status=200\n") && text.lines().count() == 1, "{text}");
    }

    #[test]
    fn machines_get_one_object_a_line() {
        let text = written("warn,mainstay::access=info", Format::Json, || {
            tracing::info!(target: "mainstay::access", path = "/x", status = 200);
            tracing::info!(target: "mainstay::server", "not asked for");
        });
        let event: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(
            (&event["level"], &event["target"], &event["path"], &event["status"]),
            (&"INFO".into(), &"mainstay::access".into(), &"/x".into(), &200.into())
        );
        assert!(event["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn an_event_is_one_line_whatever_stands_in_it() {
        let evil = "x\n2026-11-22T09:30:00Z  INFO all is well\r\u{1b}[31m\u{85}\u{2028}\u{0}";
        for format in [Format::Text, Format::Json] {
            let text = written("info", format, || tracing::info!(path = evil, shown = %evil, "{evil}"));
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(text.ends_with('\n') && !text.trim_end().contains(|c: char| c.is_control()), "{text:?}");
        }
    }

    #[test]
    fn a_second_log_is_refused() {
        let _guard = start("info", Format::Text, std::io::sink()).unwrap();
        assert_eq!(start("info", Format::Text, std::io::sink()).unwrap_err(), InitError::Twice);
    }
}
