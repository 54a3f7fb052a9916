use tracing_subscriber::EnvFilter;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Judges a filter: a level, and levels of single targets, as in `info,mainstay::access=off`.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub fn check_filter(text: &str) -> Result<(), String> {
    parse(text).map(|_| ())
}

pub(crate) fn parse(text: &str) -> Result<EnvFilter, String> {
    let parts: Vec<_> = text.split(',').map(str::trim).collect();
    for part in &parts {
        let level = part.rsplit_once('=').map_or(*part, |(_, level)| level);
        if !LEVELS.contains(&level.to_lowercase().as_str()) {
            // `EnvFilter` would take a misspelt level for a target, and log nothing.
            return Err(format!(
                "the log filter `{text}` has `{part}`; write one of {}, or `target=level`, with commas between, as in \
                 `info,mainstay::access=off`",
                LEVELS.join(", ")
            ));
        }
    }
    EnvFilter::builder().parse(parts.join(",")).map_err(|error| {
        format!("the log filter `{text}` cannot be read ({error}); write it as in `info,mainstay::access=off`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_judged() {
        for good in ["info", "off", "WARN", "info,mainstay::access=off", "warn, mainstay::server=debug", "a::b=trace"] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        for bad in ["", "inof", "info,", "mainstay::access", "info,mainstay=loud", "a[=info", "info;warn"] {
            let advice = check_filter(bad).unwrap_err();
            assert!(advice.contains("info,mainstay::access=off"), "{bad}: {advice}");
        }
    }
}
