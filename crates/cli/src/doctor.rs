//! `doctor`: what would hurt in production, and how to mend it. It looks, and changes nothing: no folder, no secret, no
//! step of a migration.

mod database;
pub(super) mod files;
mod indexes;
mod machine;
mod redis;
mod settings;

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use kernel::{Clock, Ctx, Random};

use super::cli::Flags;
use super::settings::{Loaded, Purpose};
use super::{Program, reference, say, serve};
use app::{CheckContext, Finding, Severity};

/// Time for everything that is asked of the database by one part.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Columns of what a person reads.
const WIDTH: usize = 80;

/// Examines everything and says what was found. The exit code is 1 when something is serious.
pub fn run(program: &Program<'_>, flags: &Flags, is_json: bool) -> Result<ExitCode> {
    let (mut findings, in_redis) = match super::settings::load(program.app().sections(), flags, None, Purpose::Look) {
        Ok(loaded) => check(program, &loaded)?,
        Err(error) => {
            let refused = Finding::serious(
                "settings_refused",
                format!("The server would not start: {error:#}."),
                format!("Correct them until `{} config check` is content, and ask again.", program.name),
            );
            (vec![refused], None)
        }
    };
    findings.sort_by_key(|finding| (finding.severity, finding.code));
    let serious = findings.iter().filter(|finding| finding.severity == Severity::Serious).count();
    if is_json {
        let mut report = serde_json::json!({ "serious": serious, "findings": findings });
        if let Some(name) = &in_redis {
            report["redis_namespace"] = name.as_str().into();
        }
        say(&serde_json::to_string_pretty(&report).context("the report cannot be written")?)?;
    } else {
        say(&text(&findings, serious))?;
        if let Some(name) = &in_redis {
            say(&format!("What this deployment keeps in Redis begins with ms:{name}:."))?;
        }
    }
    Ok(if serious == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was found, and what the deployment is called in the Redis that it shares.
fn check(program: &Program<'_>, loaded: &Loaded) -> Result<(Vec<Finding>, Option<String>)> {
    let memory_bytes = machine::memory_bytes();
    let mut findings = settings::check(loaded);
    findings.extend(files::check(loaded));
    findings.extend(machine::check(&loaded.settings));
    serve::runtime(&loaded.settings)?.block_on(async {
        let (clock, random) = (Clock::system(), Random::os());
        let ctx = Ctx::system("doctor", TIMEOUT, &clock, &random);
        let (database, found) = database::check(program, &loaded.settings, &ctx).await;
        findings.extend(found);
        let is_current = !findings.iter().any(|finding| database::HIDES_TABLES.contains(&finding.code));
        let current = database.clone().filter(|_| is_current);
        let space = redis::space(&loaded.settings, current.as_ref(), &ctx).await;
        findings.extend(redis::check(&loaded.settings, space.as_ref(), &ctx, &random).await);
        let context =
            CheckContext { settings: loaded.settings.clone(), database: current, memory_bytes, clock, random };
        for check in program.app().doctor_checks() {
            findings.extend(check(context.clone()).await);
        }
        if let Some(store) = database {
            store.close().await;
        }
        let is_shared = loaded.settings.cache.url.expose() != "memory:";
        Ok((findings, space.filter(|_| is_shared).map(|space| space.name().to_owned())))
    })
}

fn text(findings: &[Finding], serious: usize) -> String {
    if findings.is_empty() {
        return "Nothing was found that would hurt in production.".to_owned();
    }
    let mut text = String::new();
    for finding in findings {
        let word = match finding.severity {
            Severity::Serious => "serious",
            Severity::Advice => "advice",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{word:<8} {}", finding.code);
        for paragraph in [&finding.what, &finding.fix] {
            for line in reference::wrapped(paragraph, WIDTH - 2) {
                let _ = writeln!(text, "  {line}");
            }
        }
        text.push('\n');
    }
    let _ = write!(text, "{serious} serious, {} to think about.", findings.len() - serious);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_reads_fits_a_terminal() {
        let long = "word ".repeat(40);
        let findings = [Finding::serious("one", &long, &long), Finding::advice("two", "Short.", "Do it.")];
        let text = text(&findings, 1);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.starts_with("serious  one\n  word word") && text.contains("advice   two\n  Short.\n  Do it.\n"));
        assert!(text.ends_with("1 serious, 1 to think about."));
        assert_eq!(super::text(&[], 0), "Nothing was found that would hurt in production.");
    }
}
