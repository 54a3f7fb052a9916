use tracing_subscriber::filter::{LevelFilter, Targets};

const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// Judges a filter: a level, and levels of single targets, as in `info,mainstay::access=off`.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub fn check_filter(text: &str) -> Result<(), String> {
    parse(text).map(|_| ())
}

pub(crate) fn parse(text: &str) -> Result<Targets, String> {
    text.split(',').map(str::trim).try_fold(Targets::new(), |targets, part| {
        let (target, level) = part.rsplit_once('=').map_or((None, part), |(target, level)| (Some(target), level));
        // A misspelt level is not a target: nothing would be logged, and nobody told.
        let level = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(level));
        match (level, target) {
            (Some((_, level)), None) => Ok(targets.with_default(*level)),
            (Some((_, level)), Some(target)) if is_path(target) => Ok(targets.with_target(target, *level)),
            _ => Err(format!(
                "the log filter `{text}` has `{part}`; write one of {}, or `target=level`, with commas between, as in \
                 `info,mainstay::access=off`",
                LEVELS.map(|(name, _)| name).join(", ")
            )),
        }
    })
}

/// Whether it may be the path of a module, or what an event's `target:` usually looks like.
fn is_path(target: &str) -> bool {
    !target.is_empty() && target.chars().all(|c| c.is_alphanumeric() || "_-:.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_judged() {
        for good in ["info", "off", "WARN", "info,mainstay::access=off", "warn, mainstay::server=debug", "a::b=trace"] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        for bad in ["", "inof", "info,", "mainstay::access", "info,mainstay=loud", "a[=info", "=info", "info;warn"] {
            let advice = check_filter(bad).unwrap_err();
            assert!(advice.contains("info,mainstay::access=off"), "{bad}: {advice}");
        }
    }
}
