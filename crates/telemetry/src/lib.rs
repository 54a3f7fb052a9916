#![doc = include_str!("../README.md")]

mod filter;
mod line;
mod sink;

use std::fmt;
use std::io::Write;

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, set_global_default};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};

pub use filter::check_filter;
pub use sink::Guard;
use sink::Sink;

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
    let (guard, log) = log(filter, format, out)?;
    set_global_default(log).map_err(|_| InitError::Twice)?;
    Ok(guard)
}

fn log(filter: &str, format: Format, out: impl Write + Send + 'static) -> Result<(Guard, Log), InitError> {
    let filter = filter::parse(filter).map_err(InitError::Filter)?;
    let (sink, guard) = sink::start(format, out).map_err(|_| InitError::NoThread)?;
    Ok((guard, Log { filter, sink }))
}

/// Events that pass the filter go to the sink. Spans are not followed, so that the crates we use make none.
#[derive(Debug)]
struct Log {
    filter: Targets,
    sink: Sink,
}

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Layer::<Self>::max_level_hint(&self.filter)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.filter.would_enable(metadata.target(), metadata.level())
    }

    fn event(&self, event: &Event<'_>) {
        self.sink.write(event);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
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

    fn written(filter: &str, format: Format, test: impl FnOnce()) -> String {
        let paper = Paper::default();
        let (guard, log) = log(filter, format, paper.clone()).unwrap();
        tracing::subscriber::with_default(log, test);
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
    fn a_value_keeps_its_kind_and_an_error_its_causes() {
        let cause = std::io::Error::other("the disk said no");
        let error = StartError(cause);
        let text = written("info", Format::Json, || {
            tracing::info!(n = -3, big = u64::MAX, share = 0.5, lost = f64::NAN, yes = true, list = ?[1], error = &error as &dyn std::error::Error, "a \"story\"");
        });
        let event: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        let shown = |name: &str| event[name].to_string();
        assert_eq!(
            ["n", "big", "share", "lost", "yes", "list", "error", "message"].map(shown),
            [
                "-3",
                "18446744073709551615",
                "0.5",
                "null",
                "true",
                "\"[1]\"",
                "\"no start: the disk said no\"",
                "\"a \\\"story\\\"\""
            ]
        );
        let text = written("info", Format::Text, || {
            tracing::info!(error = &error as &dyn std::error::Error, name = "Ada L", "it broke");
        });
        assert!(text.ends_with("  INFO it broke error=no start: the disk said no name=\"Ada L\"\n"), "{text}");
    }

    #[derive(Debug)]
    struct StartError(std::io::Error);

    impl fmt::Display for StartError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no start")
        }
    }

    impl std::error::Error for StartError {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_value_that_logs_or_panics_while_it_is_written_harms_nobody() {
        struct Talks;
        impl fmt::Debug for Talks {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                tracing::info!("inner");
                f.write_str("outer")
            }
        }
        struct Panics;
        impl fmt::Debug for Panics {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("as the test wants it")
            }
        }
        let text = written("info", Format::Text, || {
            tracing::info!(value = ?Talks, "talks");
            std::panic::catch_unwind(|| tracing::info!(value = ?Panics, "begun")).unwrap_err();
            tracing::info!("after");
        });
        let mut told: Vec<_> = text.lines().map(|line| line.split_once("INFO ").unwrap().1).collect();
        told.sort_unstable();
        // What is said while a line is written is left out, by tracing itself or by the sink.
        told.retain(|line| !line.starts_with("WARN"));
        assert_eq!(told, ["after", "talks value=outer"]);
    }

    #[test]
    fn a_second_log_is_refused() {
        let _guard = start("info", Format::Text, std::io::sink()).unwrap();
        assert_eq!(start("info", Format::Text, std::io::sink()).unwrap_err(), InitError::Twice);
    }
}
