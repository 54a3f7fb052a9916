//! The tables: `lab/results/README.md` and the short one in the repository's README, made from one run's results.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::lab::Lab;
use crate::results::{Figure, Row, Run};
use crate::stats::{self, Verdict, Wanted};
use crate::target;

/// The marks round the table in the repository's README.
const BEGIN: &str = "<!-- lab: begin -->";
const END: &str = "<!-- lab: end -->";

/// What no run of this lab shows, whatever its figures.
const NOT_SHOWN: &[&str] = &[
    "A network: everything runs on one machine, over loopback. Latency across one, TLS and proxies are not in it.",
    "More cores than the set-up below names. What is pinned says what a request costs, not how it scales.",
    "A machine left alone: others may compute beside a virtual one. The noise column is the distance between the \
     slowest and the fastest round, as a share of the median; a difference smaller than that is none.",
    "Targets with features they lack: ours verifies a token, judges the session, takes from its limits, makes an `ETag` \
     and writes an access log for each request; the others do not. `fastify-redis` and `fastapi-redis` verify a token, \
     make an `ETag` and keep limits where a row says so; none of them judges a session or writes a log.",
    "Latency under a closed loop is shown nowhere as a result: a server that stalls also stops such a driver. Percentiles \
     come from the open loop.",
    "Hours: memory and speed after long running are the drills' matter.",
];

/// Prints one row while the run goes on.
pub fn print(row: &Row) {
    println!("\n{}", row.title);
    for figure in &row.figures {
        let goal = figure.goal.as_ref().map_or(String::new(), |goal| {
            format!(", wanted {} {}: {}", sign(goal.wanted), shown(goal.value, &figure.unit), word(goal.verdict))
        });
        println!("  {}: {}{goal}", figure.what, shown(figure.value, &figure.unit));
    }
    for missing in &row.missing {
        println!("  not measured: {missing}");
    }
}

/// Writes the table of the run kept in `folder`.
pub fn write(lab: &Lab, folder: &Path) -> Result<()> {
    let folder = fs::canonicalize(folder).with_context(|| format!("cannot find {}", folder.display()))?;
    let name = folder.file_name().context("a folder has a name")?.to_string_lossy().into_owned();
    let run = Run::read(&folder)?;
    let mut text = page(&run, &name, "..", &abouts(lab)?)?;
    text += &beside(&lab.root.join("lab/results"))?;
    let file = lab.root.join("lab/results/README.md");
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    println!("wrote {}", file.display());
    let readme = lab.root.join("README.md");
    let old = fs::read_to_string(&readme).with_context(|| format!("cannot read {}", readme.display()))?;
    let new = between_marks(&old, &summary(&run)).context("README.md has lost the marks round its table")?;
    fs::write(&readme, new).with_context(|| format!("cannot write {}", readme.display()))?;
    println!("wrote {}", readme.display());
    Ok(())
}

/// Writes the table of the run kept in `folder` into that folder: for a run of some rows, which is not to replace the whole
/// one's.
pub fn write_beside(lab: &Lab, folder: &Path) -> Result<()> {
    let file = folder.join("README.md");
    let text = page(&Run::read(folder)?, ".", "../..", &abouts(lab)?)?;
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    println!("wrote {}", file.display());
    Ok(())
}

fn abouts(lab: &Lab) -> Result<Vec<(String, String)>> {
    Ok(target::all(lab)?.into_iter().map(|(name, target)| (name, target.about)).collect())
}

/// Where the runs with a table of their own are.
fn beside(results: &Path) -> Result<String> {
    let entries = fs::read_dir(results).with_context(|| format!("cannot read {}", results.display()))?;
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.join("README.md").is_file());
    let mut names: Vec<String> =
        folders.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    if names.is_empty() {
        return Ok(String::new());
    }
    names.sort();
    let lines = names.iter().map(|name| format!("- [{name}]({name}/README.md)\n"));
    Ok(format!("\n## Runs of some rows, later or apart\n\n{}", lines.collect::<String>()))
}

/// The short table of the repository's README: what a goal was set for.
fn summary(run: &Run) -> String {
    let mut lines = vec!["| | Measured | Goal |".to_owned(), "|---|---:|---:|".to_owned()];
    for row in &run.rows {
        for figure in &row.figures {
            let Some(goal) = &figure.goal else { continue };
            let verdict =
                if goal.verdict == Verdict::Met { String::new() } else { format!(", {}", word(goal.verdict)) };
            let (value, wanted) = (shown(figure.value, &figure.unit), shown(goal.value, &figure.unit));
            lines.push(format!("| {} · {} | {value}{verdict} | {} {wanted} |", row.id, figure.what, sign(goal.wanted)));
        }
    }
    lines.join("\n")
}

/// The text with what stands between its marks replaced.
fn between_marks(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

/// `name` is the run's folder and `lab` the lab's, both as seen from where the page is written.
fn page(run: &Run, name: &str, lab: &str, abouts: &[(String, String)]) -> Result<String> {
    let mut page = String::new();
    let text = &mut page;
    let setup = &run.setup;
    let of = |path: &str| setup.pointer(path).map(plain).unwrap_or_default();
    writeln!(text, "# Results of the bench\n")?;
    writeln!(
        text,
        "Written by `cargo lab report` from [{name}/results.json]({name}/results.json), which holds \
         every sample. How to read it: [lab/README.md]({lab}/README.md).\n"
    )?;
    writeln!(
        text,
        "{} cores of {}, {}, {}; commit {}{}; {} rounds of {} s, interleaved, medians.\n",
        of("/machine/cores"),
        of("/machine/cpu"),
        of("/machine/memory"),
        of("/machine/kernel"),
        of("/git_commit").chars().take(12).collect::<String>(),
        if setup["uncommitted_changes"] == true { " with uncommitted changes" } else { "" },
        of("/rounds"),
        of("/seconds"),
    )?;

    writeln!(text, "## Goals\n\n| Row | Figure | | Goal | Verdict | Noise |\n|---|---|---:|---:|---|---:|")?;
    for row in &run.rows {
        for figure in row.figures.iter().filter(|figure| figure.goal.is_some()) {
            writeln!(text, "| {} | {} |", row.id, cells(figure))?;
        }
        if row.figures.iter().all(|figure| figure.goal.is_none()) && !row.missing.is_empty() {
            writeln!(text, "| {} | | | | not measured, see below | |", row.id)?;
        }
    }
    writeln!(text, "\n`missed` by more than a fifth of the goal is an open matter; `close` lies within that.\n")?;

    writeln!(text, "## Rows\n")?;
    for row in &run.rows {
        write_row(text, row)?;
    }
    writeln!(text, "## Who took part\n")?;
    let took_part = |name: &str| {
        // A row may say more behind a name: `mainstay of 1000`, `mainstay, one row`.
        let is_of = |measured: &str| {
            measured.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ',']))
        };
        run.rows.iter().flat_map(|row| &row.targets).any(|measured| is_of(&measured.name))
    };
    for (name, about) in abouts.iter().filter(|(name, _)| took_part(name)) {
        writeln!(text, "- [{name}]({lab}/targets/{name}/README.md): {about}")?;
    }
    writeln!(text, "\n## What this does not show\n")?;
    for line in NOT_SHOWN {
        writeln!(text, "- {line}")?;
    }
    writeln!(text, "\n## Set-up\n\n```json\n{}\n```", serde_json::to_string_pretty(setup)?)?;
    Ok(page)
}

fn write_row(text: &mut String, row: &Row) -> Result<()> {
    writeln!(text, "### {}: {}\n\n{}.\n", row.id, row.title, row.how)?;
    if !row.figures.is_empty() {
        writeln!(text, "| Figure | | Goal | Verdict | Noise |\n|---|---:|---:|---|---:|")?;
        for figure in &row.figures {
            writeln!(text, "| {} |", cells(figure))?;
        }
        writeln!(text)?;
    }
    let measures = measures(row);
    if !measures.is_empty() {
        writeln!(text, "Medians of what was sampled:\n\n| | {} |", measures.join(" | "))?;
        writeln!(text, "|---|{}", "---:|".repeat(measures.len()))?;
        for measured in &row.targets {
            let cells = measures.iter().map(|measure| {
                let median = stats::median(&row.values(&measured.name, measure));
                median.map_or(String::new(), number)
            });
            writeln!(text, "| {} | {} |", measured.name, cells.collect::<Vec<_>>().join(" | "))?;
        }
        writeln!(text)?;
    }
    for missing in &row.missing {
        writeln!(text, "- Not measured: {}", missing.lines().next().unwrap_or_default())?;
    }
    if !row.missing.is_empty() {
        writeln!(text)?;
    }
    Ok(())
}

/// The names of what was sampled, those first that matter most; what only explains others stays in the JSON.
fn measures(row: &Row) -> Vec<String> {
    const EXPLAINS: &[&str] =
        &["requests", "seconds", "server_cpu_s", "closed_loop_p50_ms", "closed_loop_p99_ms", "due"];
    let mut names: Vec<String> = Vec::new();
    for sample in row.targets.iter().flat_map(|measured| &measured.samples) {
        for name in sample.keys().filter(|name| !EXPLAINS.contains(&name.as_str())) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    names.sort_by_key(|name| (!name.starts_with("requests_per"), name.clone()));
    // What never happened needs no column.
    names.retain(|name| {
        let may_be_nothing =
            ["refused", "broken", "unanswered", "database_cpu_s", "redis_cpu_s"].contains(&name.as_str());
        !may_be_nothing || row.targets.iter().any(|one| row.values(&one.name, name).iter().any(|value| *value > 0.0))
    });
    names
}

fn cells(figure: &Figure) -> String {
    let (goal, verdict) = figure.goal.as_ref().map_or((String::new(), ""), |goal| {
        (format!("{} {}", sign(goal.wanted), shown(goal.value, &figure.unit)), word(goal.verdict))
    });
    let noise = figure.noise.map_or(String::new(), |noise| format!("{:.0} %", noise * 100.0));
    format!("{} | {} | {goal} | {verdict} | {noise}", figure.what, shown(figure.value, &figure.unit))
}

fn sign(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::AtLeast => "≥",
        Wanted::AtMost => "≤",
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Close => "close",
        Verdict::Missed => "**missed**",
    }
}

fn shown(value: f64, unit: &str) -> String {
    let number = if unit == "×" { format!("{value:.2}") } else { number(value) };
    format!("{number} {unit}").trim().to_owned()
}

/// Three figures or more, thousands apart.
fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        let text = format!("{value:.2}");
        return text.strip_suffix(".00").map_or(text.clone(), str::to_owned);
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::results::Sample;

    #[test]
    fn numbers_can_be_read() {
        for (value, text) in [
            (0.126, "0.13"),
            (20.0, "20"),
            (99.99, "99.99"),
            (100.4, "100"),
            (1234.5, "1,234"),
            (25_000_000.0, "25,000,000"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!((shown(0.8, "×"), shown(3.0, "")), ("0.80 ×".to_owned(), "3".to_owned()));
    }

    #[test]
    fn a_table_goes_between_the_marks() {
        let old = format!("# A\n{BEGIN}\nold\n{END}\nafter\n");
        let new = between_marks(&old, "new").unwrap();
        assert_eq!(new, format!("# A\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(between_marks(&new, "new").unwrap(), new);
        assert!(between_marks("# A", "new").is_none());
    }

    #[test]
    fn the_short_table_has_the_goals_alone() {
        let mut row = Row::new("health", "Health", "wrk");
        row.figures.push(Figure::new("a", 0.5, "×").goal(Some((Wanted::AtLeast, 0.8))));
        row.figures.push(Figure::new("b", 9.0, "ms").goal(Some((Wanted::AtMost, 10.0))));
        row.figures.push(Figure::new("c", 1.0, "×"));
        let table = summary(&Run { setup: json!({}), rows: vec![row] });
        let wanted = "| | Measured | Goal |\n|---|---:|---:|\n| health · a | 0.50 ×, **missed** | ≥ 0.80 × |\n\
                      | health · b | 9 ms | ≤ 10 ms |";
        assert_eq!(table, wanted);
    }

    /// `report` has somewhere to put it.
    #[test]
    fn the_readme_has_the_marks() {
        let readme = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
        assert!(between_marks(&fs::read_to_string(readme).unwrap(), "").is_some());
    }

    #[test]
    fn the_page_says_what_was_not_measured() {
        let mut row = Row::new("health", "Health", "wrk");
        row.measured("ours")
            .samples
            .push(Sample::from([("requests_per_s".to_owned(), 10.0), ("refused".to_owned(), 0.0)]));
        row.figures.push(Figure::new("ours ÷ theirs", 0.5, "×").noise(Some(0.1)).goal(Some((Wanted::AtLeast, 0.8))));
        row.missing.push("theirs: npm is not installed".to_owned());
        let lone = Row { missing: vec!["no PostgreSQL".to_owned()], ..Row::new("login", "Log in", "wrk") };
        let run = Run { setup: json!({ "rounds": 3 }), rows: vec![row, lone] };
        let abouts = ["ours", "our", "nobody"].map(|name| (name.to_owned(), "one of ours".to_owned()));
        let page = page(&run, "today", "..", &abouts).unwrap();
        for wanted in [
            "| health | ours ÷ theirs | 0.50 × | ≥ 0.80 × | **missed** | 10 % |",
            "| login | | | | not measured, see below | |",
            "- Not measured: theirs: npm is not installed",
            "| | requests_per_s |\n|---|---:|\n| ours | 10 |",
            "- [ours](../targets/ours/README.md): one of ours",
        ] {
            assert!(page.contains(wanted), "{wanted}\n{page}");
        }
        assert!(!page.contains("[nobody]") && !page.contains("[our]"), "who was not measured is not named\n{page}");
    }
}
