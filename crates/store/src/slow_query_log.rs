//! Tells of statements that take long.

use std::time::{Duration, Instant};

use kernel::Ctx;

use crate::StoreError;

/// What is shown of a statement, in bytes.
const SHOWN: usize = 500;

/// How long a statement may take before the log tells of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlowQueryLog(Option<Duration>);

impl SlowQueryLog {
    /// Zero: of none.
    pub(crate) fn after_ms(ms: u64) -> Self {
        Self((ms > 0).then(|| Duration::from_millis(ms)))
    }

    /// Looks at a statement that began then and is over now. Its parameters are people's data, and not told.
    pub(crate) fn watch(self, ctx: &Ctx, sql: &str, since: Instant) {
        let Some(after) = self.0 else { return };
        let took = since.elapsed();
        if took >= after {
            tracing::warn!(
                operation = ctx.operation(),
                request_id = ctx.request_id(),
                duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                statement = shown(sql),
                "a slow statement"
            );
        }
    }
}

/// Logs a statement that failed because of a bug in the server, a row or the file: which it was, and for whom. Callers
/// receive no details.
pub(crate) fn tell_failed(ctx: &Ctx, sql: &str, error: &StoreError) {
    if let StoreError::Internal { source } | StoreError::Corrupt { source } = error {
        tracing::error!(
            operation = ctx.operation(),
            request_id = ctx.request_id(),
            error = &**source as &dyn std::error::Error,
            statement = shown(sql),
            "a statement failed"
        );
    }
}

/// On one line, and of bounded length.
fn shown(sql: &str) -> String {
    let mut line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > SHOWN {
        line.truncate((0..=SHOWN).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0));
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_shown_on_one_line() {
        assert_eq!(shown("SELECT a,\n       b FROM t"), "SELECT a, b FROM t");
        let long = shown(&"가".repeat(1000));
        assert!(long.len() <= SHOWN + 3 && long.ends_with('…'), "{long}");
    }
}
