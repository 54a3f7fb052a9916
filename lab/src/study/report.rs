//! What people read: one HTML file with everything in it, and the same as JSON and CSV beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::study::analysis::{self, Measured, Ratio};
use crate::study::plan::{CacheKind, Cell, DriverKind, Endpoint, Factors, Http, Plan};
use crate::study::run::differs;
use crate::study::run_log::{Line, RunLog};

const PAGE: &str = include_str!("report/page.html");
const STYLE: &str = include_str!("report/page.css");
const SCRIPT: &str = include_str!("report/page.js");
const TEXTS: &str = include_str!("report/texts.json");

/// What a request costs: the figure that does not depend on who else needs the machine.
const COST: &str = "requests_per_cpu_s";
const RATE: &str = "requests_per_s";
/// Bare servers in Rust, whom Mainstay is not expected to lead: it stands on one.
const BARE: [&str; 2] = ["axum", "actix"];
const OURS: &str = "fastserve";

/// Writes `report.html`, `results.json` and `cells.csv` of the run log in `folder`.
pub fn write(folder: &Path) -> Result<()> {
    let lines = RunLog::read(folder)?;
    let results = results(&lines, &notes(folder)?)?;
    let keep = |name: &str, text: String| {
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("wrote {}", file.display());
        Ok::<(), anyhow::Error>(())
    };
    keep("results.json", serde_json::to_string_pretty(&results)? + "\n")?;
    keep("cells.csv", csv(&analysis::measured(&lines))?)?;
    keep("report.html", page(&results)?)
}

/// What somebody who looked into it wrote beside the run, in both languages: `notes.json`, a list of `{en, ko}`.
fn notes(folder: &Path) -> Result<Value> {
    let file = folder.join("notes.json");
    if !file.exists() {
        return Ok(json!([]));
    }
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))
}

fn page(results: &Value) -> Result<String> {
    // Nothing in it may end the script it stands in.
    let data = serde_json::to_string(results)?.replace('<', "\\u003c");
    let texts = TEXTS.replace('<', "\\u003c");
    Ok(PAGE
        .replace("/*STYLE*/", STYLE)
        .replace("/*TEXTS*/", &texts)
        .replace("/*DATA*/", &data)
        .replace("/*SCRIPT*/", SCRIPT))
}

fn results(lines: &[Line], notes: &Value) -> Result<Value> {
    let mut setups: Vec<&Value> = Vec::new();
    let mut plan_text = None;
    let mut targets: BTreeMap<&str, Value> = BTreeMap::new();
    let mut contract = Vec::new();
    for line in lines {
        match line {
            Line::Began { setup, plan } => {
                setups.push(setup);
                plan_text = Some(plan);
            }
            Line::Target { name, about, absent } => {
                let mut about = about.clone();
                about["name"] = json!(name);
                about["absent"] = json!(absent.as_deref().map(first_line));
                targets.insert(name, about);
            }
            Line::Contract { target, setting, findings } => {
                contract.push(json!({ "target": target, "setting": setting.to_string(), "findings": findings }));
            }
            Line::Sample { .. } | Line::Missing { .. } => {}
        }
    }
    let plan: Plan = toml::from_str(plan_text.context("the journal names no plan")?).context("the journal's plan")?;
    let cells = analysis::measured(lines);
    let names: Vec<String> = targets.keys().map(|name| (*name).to_owned()).collect();
    let mut slices = Vec::new();
    for slice in &plan.slices {
        let ids: BTreeSet<String> = plan.cells_of(slice, &names)?.iter().map(Cell::id).collect();
        let at: Vec<usize> =
            cells.iter().enumerate().filter(|(_, one)| ids.contains(&one.cell.id())).map(|(at, _)| at).collect();
        let factors: BTreeSet<&String> = slice.vary.keys().chain(slice.levels.iter().flat_map(|l| l.keys())).collect();
        slices.push(json!({ "name": slice.name, "factors": factors, "cells": at }));
    }
    let answers = json!({
        "languages": languages(&cells, &targets),
        "caching": caching(&cells),
        "async": waiting(&cells, &targets),
        "http2": http2(&cells),
        "ours": ours(&cells),
    });
    Ok(json!({
        "title": plan.title,
        "plan": { "rounds": plan.rounds, "seconds": plan.seconds, "warmup_s": plan.warmup_s },
        "setups": setups,
        "targets": targets.into_values().collect::<Vec<_>>(),
        "contract": contract,
        "cells": cells,
        "slices": slices,
        "missing": missing(lines),
        "answers": answers,
        "notes": notes,
    }))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// What was never measured, each with its last reason.
fn missing(lines: &[Line]) -> Vec<Value> {
    let mut why: BTreeMap<String, (&Cell, &str)> = BTreeMap::new();
    for line in lines {
        match line {
            Line::Missing { cell, why: reason, .. } => drop(why.insert(cell.id(), (cell, reason))),
            Line::Sample { cell, .. } => drop(why.remove(&cell.id())),
            _ => {}
        }
    }
    let shown = |(cell, why): (&Cell, &str)| {
        let factors = differs(&cell.factors);
        json!({ "target": cell.target, "endpoint": cell.endpoint, "how": factors, "why": first_line(why) })
    };
    why.into_values().map(shown).collect()
}

/// The cells of an endpoint with all factors but these as `wanted` has them.
fn at<'a>(cells: &'a [Measured], endpoint: Endpoint, wanted: &Factors) -> Vec<&'a Measured> {
    cells.iter().filter(|one| one.cell.endpoint == endpoint && one.cell.factors == *wanted).collect()
}

/// The combination of levels in which an endpoint was measured of the most targets: where it is compared. Of several,
/// the first that came.
fn usual(cells: &[Measured], endpoint: Endpoint) -> Option<Factors> {
    let mut counts: Vec<(&Factors, usize)> = Vec::new();
    for one in cells.iter().filter(|one| one.cell.endpoint == endpoint) {
        match counts.iter_mut().find(|(factors, _)| **factors == one.cell.factors) {
            Some((_, count)) => *count += 1,
            None => counts.push((&one.cell.factors, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max()?;
    counts.into_iter().find(|(_, count)| *count == most).map(|(factors, _)| factors.clone())
}

const COMPARED: [Endpoint; 7] = [
    Endpoint::Health,
    Endpoint::Compute,
    Endpoint::Cache,
    Endpoint::Db,
    Endpoint::Read,
    Endpoint::List,
    Endpoint::Create,
];

fn best<'a>(among: impl Iterator<Item = &'a Measured>) -> Option<&'a Measured> {
    let value = |one: &Measured| one.measures.get(COST).map_or(0.0, |estimate| estimate.value);
    among.filter(|one| one.measures.contains_key(COST)).max_by(|a, b| value(a).total_cmp(&value(b)))
}

/// Do Rust and Go lead? By endpoint, the best of those against the best of the others.
fn languages(cells: &[Measured], targets: &BTreeMap<&str, Value>) -> Vec<Value> {
    let is_either = |one: &&Measured| {
        let language = targets.get(one.cell.target.as_str()).and_then(|about| about["language"].as_str());
        matches!(language, Some("Rust" | "Go"))
    };
    let answer = |endpoint: Endpoint| {
        let all = at(cells, endpoint, &usual(cells, endpoint)?);
        let either = best(all.iter().copied().filter(|one| is_either(one)))?;
        let other = best(all.iter().copied().filter(|one| !is_either(one)))?;
        let ratio = either.over(other, COST)?;
        Some(json!({ "endpoint": endpoint, "either": either.cell.target, "other": other.cell.target, "ratio": ratio }))
    };
    COMPARED.into_iter().filter_map(answer).collect()
}

/// Does caching level the field? By kind of cache, the fastest against the slowest.
fn caching(cells: &[Measured]) -> Vec<Value> {
    let Some(usual) = usual(cells, Endpoint::Cache) else { return Vec::new() };
    let answer = |cache: CacheKind| {
        let all = at(cells, Endpoint::Cache, &Factors { cache, ..usual.clone() });
        let value = |one: &&Measured| one.measures.get(COST).map(|estimate| estimate.value);
        let mut with: Vec<&Measured> = all.into_iter().filter(|one| value(one).is_some()).collect();
        with.sort_by(|a, b| value(b).unwrap_or(0.0).total_cmp(&value(a).unwrap_or(0.0)));
        let (first, last) = (with.first()?, with.last()?);
        let middle = with[with.len() / 2];
        let to_middle = first.over(middle, COST)?;
        Some(json!({
            "cache": cache, "count": with.len(), "first": first.cell.target, "last": last.cell.target,
            "middle": middle.cell.target, "ratio": first.over(last, COST)?, "to_middle": to_middle,
        }))
    };
    [CacheKind::None, CacheKind::Memory, CacheKind::Redis].into_iter().filter_map(answer).collect()
}

/// Does async win on I/O? Pairs of one language whose requests wait in different ways.
fn waiting(cells: &[Measured], targets: &BTreeMap<&str, Value>) -> Vec<Value> {
    let of = |one: &Measured, what: &str| {
        targets.get(one.cell.target.as_str()).and_then(|about| about[what].as_str()).unwrap_or_default().to_owned()
    };
    let mut pairs = Vec::new();
    for one in cells.iter().filter(|one| of(one, "waits") == "async") {
        let is_io = matches!(one.cell.endpoint, Endpoint::Db | Endpoint::Read | Endpoint::List | Endpoint::Create);
        if !is_io || one.cell.factors.driver != DriverKind::Wrk {
            continue;
        }
        for other in cells.iter().filter(|other| {
            other.cell.endpoint == one.cell.endpoint
                && other.cell.factors == one.cell.factors
                && of(other, "waits") != "async"
                && of(other, "language") == of(one, "language")
        }) {
            let (Some(rate), Some(cost)) = (one.over(other, RATE), one.over(other, COST)) else { continue };
            pairs.push(json!({
                "language": of(one, "language"), "async": one.cell.target, "other": other.cell.target,
                "waits": of(other, "waits"), "endpoint": one.cell.endpoint, "how": differs(&one.cell.factors),
                "database": one.cell.factors.database, "connections": one.cell.factors.connections,
                "rate": rate, "cost": cost,
            }));
        }
    }
    pairs
}

/// Does HTTP/2 help? By target and endpoint, both of its ways against HTTP/1.1.
fn http2(cells: &[Measured]) -> Vec<Value> {
    let mut found = Vec::new();
    for one in cells.iter().filter(|one| one.cell.factors.http == Http::Two) {
        // As many requests under way as there were connections.
        let connections = one.cell.factors.connections * one.cell.factors.streams;
        let before = Factors { http: Http::One, streams: 1, connections, ..one.cell.factors.clone() };
        let same = |other: &&Measured| other.cell.target == one.cell.target && other.cell.endpoint == one.cell.endpoint;
        let Some(other) = cells.iter().filter(same).find(|other| other.cell.factors == before) else { continue };
        let (Some(rate), Some(cost)) = (one.over(other, RATE), one.over(other, COST)) else { continue };
        found.push(json!({
            "target": one.cell.target, "endpoint": one.cell.endpoint, "streams": one.cell.factors.streams,
            "connections": one.cell.factors.connections, "rate": rate, "cost": cost,
        }));
    }
    found
}

/// Whom does Mainstay lead? By endpoint, against everyone but bare servers in Rust.
fn ours(cells: &[Measured]) -> Vec<Value> {
    let answer = |endpoint: Endpoint| {
        let all = at(cells, endpoint, &usual(cells, endpoint)?);
        let ours = all.iter().find(|one| one.cell.target == OURS)?;
        let against: Vec<(&str, Ratio)> = all
            .iter()
            .filter(|one| one.cell.target != OURS)
            .filter_map(|one| Some((one.cell.target.as_str(), ours.over(one, COST)?)))
            .collect();
        let is_bare = |name: &str| BARE.contains(&name);
        let behind: Vec<Value> = against
            .iter()
            .filter(|(name, ratio)| !is_bare(name) && ratio.value < 1.0 && ratio.is_difference)
            .map(|(name, ratio)| json!({ "target": name, "ratio": ratio }))
            .collect();
        let even: Vec<&str> = against
            .iter()
            .filter(|(name, ratio)| !is_bare(name) && !ratio.is_difference)
            .map(|(name, _)| *name)
            .collect();
        let all: Vec<Value> = against
            .iter()
            .map(|(name, ratio)| json!({ "target": name, "ratio": ratio, "is_bare": is_bare(name) }))
            .collect();
        Some(json!({ "endpoint": endpoint, "behind": behind, "even": even, "all": all }))
    };
    COMPARED.into_iter().filter_map(answer).collect()
}

/// A line for each cell and measure.
fn csv(cells: &[Measured]) -> Result<String> {
    let mut text = String::from("target,endpoint,");
    let factors = serde_json::to_value(Factors::default())?;
    let names: Vec<&String> = factors.as_object().into_iter().flatten().map(|(name, _)| name).collect();
    for name in &names {
        write!(text, "{name},")?;
    }
    text += "measure,value,low,high,rounds\n";
    for one in cells {
        let levels = serde_json::to_value(&one.cell.factors)?;
        let levels: Vec<String> = names
            .iter()
            .map(|name| levels[name.as_str()].as_str().map_or_else(|| levels[name.as_str()].to_string(), str::to_owned))
            .collect();
        for (measure, estimate) in &one.measures {
            let end = |end: Option<f64>| end.map_or_else(String::new, |end| end.to_string());
            writeln!(
                text,
                "{},{},{},{measure},{},{},{},{}",
                one.cell.target,
                one.cell.endpoint.name(),
                levels.join(","),
                estimate.value,
                end(estimate.low),
                end(estimate.high),
                estimate.rounds
            )?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Sample;

    fn cell(target: &str, endpoint: Endpoint) -> Cell {
        Cell { target: target.into(), endpoint, factors: Factors::default() }
    }

    fn sample(cell: &Cell, round: usize, value: f64) -> Line {
        let sample = Sample::from([(COST.to_owned(), value), (RATE.to_owned(), value)]);
        Line::Sample { cell: cell.clone(), round, sample }
    }

    fn lines() -> Vec<Line> {
        let plan =
            "title = \"t\"\nrounds = 3\nseconds = 1\nwarmup_s = 0\n[[slice]]\nname = \"s\"\nendpoints = [\"health\"]";
        let mut lines = vec![Line::Began { setup: json!({}), plan: plan.into() }];
        for (name, language, value) in
            [("fastserve", "Rust", 300.0), ("axum", "Rust", 400.0), ("express", "JavaScript", 30.0)]
        {
            let about = json!({ "title": name, "language": language, "waits": "async" });
            lines.push(Line::Target { name: name.into(), about, absent: None });
            for round in 0..3 {
                lines.push(sample(&cell(name, Endpoint::Health), round, value + round as f64));
            }
        }
        let why = "it does </script> not".to_owned();
        lines.push(Line::Missing { cell: cell("express", Endpoint::Db), why, is_final: true });
        lines
    }

    #[test]
    fn answers_come_from_samples() {
        let results = results(&lines(), &json!([])).unwrap();
        let first = &results["answers"]["languages"][0];
        assert_eq!((&first["either"], &first["other"]), (&json!("axum"), &json!("express")));
        assert_eq!(first["ratio"]["is_difference"], true);
        let ours = &results["answers"]["ours"][0];
        assert_eq!((&ours["behind"], ours["all"].as_array().unwrap().len()), (&json!([]), 2));
        assert_eq!(results["slices"][0]["cells"].as_array().unwrap().len(), 3);
        assert_eq!(results["missing"][0]["target"], "express");
    }

    #[test]
    fn data_cannot_end_its_script() {
        let page = page(&results(&lines(), &json!([])).unwrap()).unwrap();
        assert!(!page.contains("it does </script>") && page.contains("it does \\u003c/script>"));
        assert!(!page.contains("/*DATA*/") && !page.contains("/*STYLE*/"));
    }

    /// Every text is there in both languages, with the same blanks.
    #[test]
    fn texts_are_whole_in_both_languages() {
        let texts: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_str(TEXTS).unwrap();
        let (en, ko) = (&texts["en"], &texts["ko"]);
        assert_eq!(en.keys().collect::<Vec<_>>(), ko.keys().collect::<Vec<_>>());
        for (key, text) in en {
            let blanks = |text: &Value| {
                let text = text.to_string();
                let mut found: Vec<String> =
                    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect();
                found.sort();
                found
            };
            assert_eq!(blanks(text), blanks(&ko[key]), "{key}");
        }
        // Whatever the script asks for is there.
        for (at, _) in SCRIPT.match_indices("t('") {
            // Not the end of another name.
            if !SCRIPT[..at].ends_with(|before: char| before.is_alphanumeric()) {
                let key = SCRIPT[at + 3..].split('\'').next().unwrap();
                assert!(en.contains_key(key), "the script asks for {key}");
            }
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_measure() {
        let text = csv(&analysis::measured(&lines())).unwrap();
        let head = text.lines().next().unwrap().split(',').count();
        assert!(text.lines().all(|line| line.split(',').count() == head), "{text}");
        assert_eq!(text.lines().count(), 1 + 3 * 2);
    }
}
