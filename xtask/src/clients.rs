//! The typed clients: what other people's generators make of the document. Part of `cargo xtask gen`, and compared by
//! `cargo xtask check generated`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use devservers::Stop;
use devservers::workspace::Workspace;
use serde_json::{Value, json};

use crate::conformance::{Installed, judge};

/// Directories in which every file is made here; what was not made is stale.
pub const DIRECTORIES: &[&str] = &["clients/python/mainstay_client"];

const TYPESCRIPT: &str = "clients/typescript/src/schema.ts";
const LIMIT: Duration = Duration::from_secs(600);

/// The files made from `document`, by their paths from the root.
pub fn derive(document: &str, workspace: &Workspace, stop: &Stop) -> Result<Vec<(String, String)>> {
    let installed = Installed::ready(workspace, stop)?;
    let place = workspace.target.join("conformance/made");
    if place.exists() {
        fs::remove_dir_all(&place).with_context(|| format!("cannot clear {}", place.display()))?;
    }
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let mut files = vec![typescript(document, &place, &installed, stop)?];
    files.extend(python(document, workspace, &place, &installed, stop)?);
    Ok(files)
}

fn typescript(document: &str, place: &Path, installed: &Installed, stop: &Stop) -> Result<(String, String)> {
    fs::write(place.join("openapi.json"), document).context("cannot write the document for openapi-typescript")?;
    let mut command = installed.npm("openapi-typescript");
    // A default makes a field one that need not be sent; the types of the schemas get names of their own.
    command.args(["openapi.json", "--output=schema.ts", "--default-non-nullable=false"]);
    command.args(["--root-types", "--root-types-no-schema-prefix"]);
    judge(command.current_dir(place), stop, LIMIT)?;
    let text = fs::read_to_string(place.join("schema.ts")).context("openapi-typescript wrote nothing")?;
    Ok((TYPESCRIPT.to_owned(), text))
}

fn python(
    document: &str,
    workspace: &Workspace,
    place: &Path,
    installed: &Installed,
    stop: &Stop,
) -> Result<Vec<(String, String)>> {
    let mut document: Value = serde_json::from_str(document).context("the document is not JSON")?;
    let renamed = suit_python(&mut document)?;
    fs::write(place.join("for-python.json"), document.to_string()).context("cannot write the document for Python")?;
    let mut command = installed.python("openapi-python-client");
    command.args(["generate", "--path=for-python.json", "--output-path=mainstay_client", "--meta=none"]);
    command
        .args(["--overwrite", "--fail-on-warning", "--config"])
        .arg(workspace.root.join("conformance/clients/python.yaml"));
    judge(command.current_dir(place), stop, LIMIT)?;

    // By this file a type checker knows that the package says its types (PEP 561); without a package around it, the
    // generator leaves it out.
    let mut files = vec![("py.typed".to_owned(), String::new())];
    collect(&place.join("mainstay_client"), "", &mut files)?;
    for (name, wire) in &renamed {
        let (ours, theirs) = (format!("params[\"{name}\"]"), format!("params[\"{wire}\"]"));
        if !files.iter().any(|(_, text)| text.contains(&ours)) {
            bail!("openapi-python-client no longer writes {ours}: see `suit_python` in xtask/src/clients.rs");
        }
        for (_, text) in &mut files {
            *text = text.replace(&ours, &theirs);
        }
    }
    for (file, _) in &mut files {
        *file = format!("{}/{file}", DIRECTORIES[0]);
    }
    Ok(files)
}

/// What openapi-python-client 0.29 cannot do with the document as it is, done before: it makes a class for each
/// operation and status of `allOf` problems, sends a list as repeated parameters whatever `explode` says (which the
/// server refuses), and turns `created_at[gte]` into `created_atgte`. Gives the names that are put back afterwards.
///
/// The document cannot do without. `code` beside `$ref` instead of `allOf` would suit Python, but openapi-typescript
/// then forgets the codes; a named schema for each set of codes would need dozens of made-up names. A list that is a
/// `string` in the document would be one for everybody.
fn suit_python(document: &mut Value) -> Result<Vec<(String, String)>> {
    let mut renamed: Vec<(String, String)> = Vec::new();
    let paths = document["paths"].as_object_mut().context("the document has no paths")?;
    for operation in paths.values_mut().filter_map(Value::as_object_mut).flat_map(|path| path.values_mut()) {
        for answer in operation["responses"].as_object_mut().context("an operation without responses")?.values_mut() {
            if let Some(content) = answer.pointer_mut("/content/application~1problem+json") {
                content["schema"] = json!({ "$ref": "#/components/schemas/Problem" });
            }
        }
        let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) else { continue };
        let names: Vec<String> =
            parameters.iter().filter_map(|parameter| parameter["name"].as_str().map(str::to_owned)).collect();
        for parameter in parameters {
            if parameter["schema"]["type"] == "array" {
                parameter["schema"] = json!({ "type": "string" });
            }
            let wire = parameter["name"].as_str().unwrap_or_default().to_owned();
            if let Some((field, rest)) = wire.split_once('[') {
                let name = format!("{field}_{}", rest.trim_end_matches(']'));
                if names.contains(&name) {
                    bail!("the parameters {name} and {wire} would have one name in Python; rename the field");
                }
                parameter["name"] = name.clone().into();
                renamed.push((name, wire));
            }
        }
    }
    renamed.sort();
    renamed.dedup();
    Ok(renamed)
}

/// Every Python file under `dir`, with its path from there, in order.
fn collect(dir: &Path, prefix: &str, files: &mut Vec<(String, String)>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut entries = entries.collect::<std::io::Result<Vec<_>>>().context("cannot list what was made")?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if path.is_dir() {
            // Caches of the tools (`.ruff_cache`, `__pycache__`) are not part of it.
            if !entry.file_name().to_string_lossy().starts_with(['.', '_']) {
                collect(&path, &format!("{name}/"), files)?;
            }
        } else if path.extension().is_some_and(|ending| ending == "py") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            files.push((name, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_gets_names_lists_and_problems_it_can_use() {
        let operation = |parameters: Value| {
            json!({ "paths": { "/posts": { "get": {
                "parameters": parameters,
                "responses": { "422": { "content": { "application/problem+json": { "schema": { "allOf": [] } } } } },
            } } } })
        };
        let list = json!({ "type": "array", "items": { "type": "string" } });
        let mut document = operation(json!([
            { "name": "sort", "schema": list },
            { "name": "id[in]", "schema": list },
            { "name": "id", "schema": { "type": "string" } },
        ]));
        let renamed = suit_python(&mut document).unwrap();
        assert_eq!(renamed, [("id_in".to_owned(), "id[in]".to_owned())]);
        let get = &document["paths"]["/posts"]["get"];
        assert_eq!(
            get["parameters"],
            json!([
                { "name": "sort", "schema": { "type": "string" } },
                { "name": "id_in", "schema": { "type": "string" } },
                { "name": "id", "schema": { "type": "string" } },
            ])
        );
        let problem = &get["responses"]["422"]["content"]["application/problem+json"]["schema"];
        assert_eq!(*problem, json!({ "$ref": "#/components/schemas/Problem" }));

        let mut twice = operation(json!([{ "name": "id[in]", "schema": list }, { "name": "id_in", "schema": list }]));
        assert!(suit_python(&mut twice).is_err());
    }
}
