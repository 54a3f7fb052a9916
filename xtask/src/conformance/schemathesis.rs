//! `schemathesis`: requests made from the document, answers judged by it. That alone would mostly show that bad requests
//! are refused; so the hooks count, and an operation that rarely succeeded was not tested.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use devservers::machine;
use serde_json::{Value, json};

use super::{Room, Served, judge};

/// The least share of answers 2xx for each operation, in percent.
const LEAST_SHARE: u64 = 30;

/// Answers of one operation by status, as `conformance/schemathesis_hooks.py` counts them.
type Counts = BTreeMap<String, BTreeMap<String, u64>>;

/// One run of it. It would draw from every way to make a body wrong and the one way to make it right alike: among many
/// cases few would be right. So these are asked for by themselves.
struct Part {
    name: &'static str,
    mode: &'static str,
    phases: &'static str,
    of_five: u64,
}

const PARTS: [Part; 3] = [
    Part { name: "told", mode: "all", phases: "examples,coverage,stateful", of_five: 1 },
    Part { name: "right", mode: "positive", phases: "fuzzing", of_five: 3 },
    Part { name: "wrong", mode: "negative", phases: "fuzzing", of_five: 2 },
];

/// All it would try but TRACE, which nginx refuses by itself, whatever stands behind it, and without `Allow`.
const BEHIND_NGINX: &str = "
[phases.coverage]
unexpected-methods = [\"GET\", \"PUT\", \"POST\", \"DELETE\", \"OPTIONS\", \"PATCH\", \"QUERY\"]
";

pub fn run(room: &Room<'_>, served: &Served) -> Result<()> {
    let document = serde_json::from_str(&room.workspace.read("docs/openapi.json")?).context("docs/openapi.json")?;
    let (operations, varied) = operations(&document)?;
    let place = room.workspace.target.join("conformance");
    // An even share. An operation that takes nothing has few cases, and is left out of the count.
    let each = room.cases.div_ceil(varied.max(1)).max(5);
    println!("against {} on {}, {each} cases for each operation", served.url, served.name);
    let outside = room.workspace.root.join("conformance");
    // It runs away from the sources, because it keeps what it remembers where it runs; it looks for its hooks there too.
    let hooks = "schemathesis_hooks.py";
    fs::copy(outside.join(hooks), place.join(hooks)).context("cannot put the hooks where schemathesis runs")?;
    let mut config = room.workspace.read("conformance/schemathesis.toml")?;
    if served.is_behind_nginx() {
        config.push_str(BEHIND_NGINX);
    }
    let config_path = place.join("schemathesis.toml");
    fs::write(&config_path, config).context("cannot put the configuration where schemathesis runs")?;
    let start = Instant::now();
    let mut counts = Counts::new();
    let mut judged = Ok(());
    for part in &PARTS {
        let counted = place.join(format!("counts-{}-{}.json", served.name, part.name));
        if counted.exists() {
            fs::remove_file(&counted).with_context(|| format!("cannot remove {}", counted.display()))?;
        }
        let mut command = room.installed.python("schemathesis");
        command.arg("--config-file").arg(&config_path);
        command.arg("run").arg(format!("{}/openapi.json", served.url));
        let examples = (each * part.of_five).div_ceil(5).to_string();
        command.args(["--no-color", "--max-examples", &examples, "--seed", &room.seed.to_string()]);
        command.args(["--mode", part.mode, "--phases", part.phases]);
        served.introduce(&mut command);
        command.env("MAINSTAY_CONFORMANCE_COUNTS", &counted);
        let outcome = judge(command.current_dir(&place), room.stop, Duration::from_secs(120 + room.cases));
        // What a later part finds is worth knowing too.
        judged = judged.and(outcome);
        let text = fs::read_to_string(&counted).context("schemathesis counted nothing")?;
        add(&mut counts, serde_json::from_str(&text).context("what schemathesis counted cannot be read")?);
        room.stop.check()?;
    }
    let (table, poor) = table(&operations, &counts);
    println!("{table}");
    judged?;
    if !poor.is_empty() {
        bail!(
            "fewer than {LEAST_SHARE} % of the answers were 2xx: {}; teach conformance/schemathesis_hooks.py what is real there",
            poor.join(", ")
        );
    }
    if room.is_recorded {
        let total: u64 = counts.values().flat_map(BTreeMap::values).sum();
        let result = json!({
            "what": "schemathesis against the debug server: no server error, no answer against the document, no authentication ignored",
            "database": served.name,
            "cases": total,
            "seed": room.seed,
            "seconds": start.elapsed().as_secs(),
            "answers_by_operation": counts,
        });
        let file = format!("docs/results/schemathesis-{}.json", served.name);
        machine::write_result_of(&room.workspace.root.join(&file), result, room.facts.clone())?;
        println!("wrote {file}");
    }
    Ok(())
}

fn add(counts: &mut Counts, more: Counts) {
    for (operation, answers) in more {
        let known = counts.entry(operation).or_default();
        for (status, count) in answers {
            *known.entry(status).or_default() += count;
        }
    }
}

/// The names of all operations of the document, and how many of them take a body or a parameter.
fn operations(document: &Value) -> Result<(Vec<String>, u64)> {
    let paths = document["paths"].as_object().context("the document has no paths")?;
    let all = || paths.values().filter_map(Value::as_object).flat_map(|path| path.values());
    let mut names: Vec<String> = all().filter_map(|one| one["operationId"].as_str().map(str::to_owned)).collect();
    // It leaves out the operation it reads the document from: that one has answered when a run begins.
    names.retain(|name| name != "get_openapi");
    names.sort();
    let varied = all().filter(|one| one.get("parameters").or_else(|| one.get("requestBody")).is_some()).count();
    Ok((names, varied as u64))
}

/// A line for each operation, and those that rarely succeeded.
fn table(operations: &[String], counts: &Counts) -> (String, Vec<String>) {
    let mut lines = vec![format!("{:<20} {:>7} {:>7}", "operation", "cases", "2xx")];
    let mut poor = Vec::new();
    let mut all = 0;
    for name in operations {
        let of = |wanted: fn(&str) -> bool| -> u64 {
            let answers = counts.get(name).into_iter().flatten();
            answers.filter(|(status, _)| wanted(status)).map(|(_, count)| count).sum()
        };
        let (cases, good) = (of(|_| true), of(|status| status.starts_with('2')));
        // An operation that was never called has no share at all.
        let is_poor = cases == 0 || good * 100 < cases * LEAST_SHARE;
        let share = (good * 100).checked_div(cases).unwrap_or(0);
        lines.push(format!("{name:<20} {cases:>7} {share:>5} %{}", if is_poor { "  too few" } else { "" }));
        all += cases;
        if is_poor {
            poor.push(name.clone());
        }
    }
    lines.push(format!("{:<20} {all:>7}", "all"));
    (lines.join("\n"), poor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_shared_among_operations_that_take_something() {
        let document = json!({ "paths": {
            "/openapi.json": { "get": { "operationId": "get_openapi" } },
            "/posts": {
                "get": { "operationId": "list_posts", "parameters": [{ "name": "limit" }] },
                "post": { "operationId": "create_post", "requestBody": {} },
            },
            "/health": { "get": { "operationId": "get_health" } },
        } });
        let (names, varied) = operations(&document).unwrap();
        assert_eq!(names, ["create_post", "get_health", "list_posts"]);
        assert_eq!(varied, 2);
    }

    #[test]
    fn counts_add_up() {
        let read = |value: Value| serde_json::from_value::<Counts>(value).unwrap();
        let mut counts = read(json!({ "list": { "200": 3 } }));
        add(&mut counts, read(json!({ "list": { "200": 2, "422": 1 }, "make": { "201": 4 } })));
        assert_eq!(counts, read(json!({ "list": { "200": 5, "422": 1 }, "make": { "201": 4 } })));
    }

    #[test]
    fn an_operation_that_rarely_succeeds_is_told() {
        let operations = ["list", "lone", "make"].map(str::to_owned);
        let counts: Counts = serde_json::from_value(json!({
            "list": { "200": 3, "422": 7 },
            "make": { "201": 29, "409": 71 },
        }))
        .unwrap();
        let (table, poor) = table(&operations, &counts);
        assert_eq!(poor, ["lone", "make"]);
        assert!(table.contains("list                      10    30 %\n"), "{table}");
        assert!(table.ends_with("all                      110"), "{table}");
    }
}
