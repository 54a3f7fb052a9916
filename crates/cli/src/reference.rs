//! What the code says of itself, written out: settings and error codes.

use std::collections::BTreeMap;
use std::fmt::Write;

use kernel::{ApiError, ErrorDoc};
use toml::{Table, Value};
use web::{Api, RequestError};

use app::{PREFIX, Section};

/// Columns of a comment in the default settings file.
const WIDTH: usize = 100;

/// One setting, with all that is known of it.
struct Entry {
    heading: String,
    key: String,
    default: Value,
    meaning: String,
    is_secret: bool,
}

impl Entry {
    fn dotted(&self) -> String {
        if self.heading.is_empty() { self.key.clone() } else { format!("{}.{}", self.heading, self.key) }
    }

    fn variable(&self) -> String {
        format!("{PREFIX}{}", self.dotted().to_uppercase().replace('.', "__"))
    }
}

/// Every setting: plain keys of a heading before its sub-headings.
fn entries(sections: &[Section]) -> Vec<Entry> {
    fn walk(heading: &str, defaults: &Table, schema: &serde_json::Value, out: &mut Vec<Entry>) {
        let (tables, plain): (Vec<_>, Vec<_>) = defaults.iter().partition(|(_, value)| value.is_table());
        for (key, default) in plain {
            let property = &schema["properties"][key.as_str()];
            out.push(Entry {
                heading: heading.to_owned(),
                key: key.clone(),
                default: default.clone(),
                meaning: meaning(property),
                is_secret: property["format"] == "password",
            });
        }
        for (key, value) in tables {
            let Value::Table(inner) = value else { continue };
            let inner_heading = if heading.is_empty() { key.clone() } else { format!("{heading}.{key}") };
            walk(&inner_heading, inner, &schema["properties"][key.as_str()], out);
        }
    }
    let mut out = Vec::new();
    for section in sections {
        walk(section.name, &section.defaults, &section.schema, &mut out);
    }
    out
}

/// The doc comment of a setting as one paragraph, with the words it may be where those are few.
fn meaning(property: &serde_json::Value) -> String {
    let text = property["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let alternatives = property["oneOf"].as_array().or(property["anyOf"].as_array());
    let words: Vec<String> = match (property["enum"].as_array(), alternatives) {
        (Some(words), _) => words.iter().filter_map(|word| Some(format!("`{}`", word.as_str()?))).collect(),
        (None, Some(parts)) => parts.iter().filter_map(|part| Some(format!("`{}`", part["const"].as_str()?))).collect(),
        (None, None) => Vec::new(),
    };
    if words.is_empty() || words.iter().all(|word| text.contains(word.as_str())) {
        text
    } else {
        format!("{text} One of {}.", words.join(", "))
    }
}

/// A settings file with every default, each commented out with a `#` and no space: it changes nothing as it is.
pub fn default_file(program: &str, sections: &[Section]) -> String {
    let mut text = format!(
        "# All settings with their defaults. `{program} config default` prints this file.\n\
         # Save it as mainstay.toml, and remove the `#` from each line that you change.\n\
         # Environment variables override this file. Flags override both.\n",
    );
    let mut heading = String::new();
    for entry in entries(sections) {
        if entry.heading != heading {
            heading.clone_from(&entry.heading);
            // Writing to a string cannot fail.
            let _ = write!(text, "\n[{heading}]\n");
        }
        text.push('\n');
        for line in wrapped(&entry.meaning, WIDTH - 2) {
            let _ = writeln!(text, "# {line}");
        }
        let _ = writeln!(text, "# Environment: {}", entry.variable());
        let _ = writeln!(text, "#{} = {}", entry.key, entry.default);
    }
    text
}

/// The reference of all settings as Markdown.
pub fn settings(program: &str, sections: &[Section]) -> String {
    let mut text = format!(
        "# Settings\n\n\
         The server reads its settings once, at startup, from four sources: the defaults, the file `mainstay.toml` in the\n\
         working directory (or `--config FILE`), environment variables, and flags. A later source overrides an earlier one.\n\
         If a name is unknown or a value is invalid, the server does not start, and the error message says what to write\n\
         instead. `{program} config check` validates the settings without starting the server. `{program} config show`\n\
         prints the settings in effect. In an environment variable, separate the items of a list with commas.\n\n\
         `{program} config reference` generates this page. To change it, change the doc comments in the code.\n",
    );
    let mut heading = None;
    for entry in entries(sections) {
        if heading.as_ref() != Some(&entry.heading) {
            let title =
                if entry.heading.is_empty() { "Top level".to_owned() } else { format!("`[{}]`", entry.heading) };
            // Writing to a string cannot fail.
            let _ = write!(text, "\n## {title}\n\n| Key | Default | Environment | Meaning |\n|---|---|---|---|\n");
            heading = Some(entry.heading.clone());
        }
        let default = match &entry.default {
            Value::String(words) if words.is_empty() => if entry.is_secret { "none" } else { "empty" }.to_owned(),
            Value::Array(items) if items.is_empty() => "empty".to_owned(),
            value => format!("`{value}`"),
        };
        let meaning = cell(&entry.meaning);
        let _ = writeln!(text, "| `{}` | {default} | `{}` | {meaning} |", entry.key, entry.variable());
    }
    text
}

/// Every stable error code as Markdown: of the operations, and of requests that reach none.
pub fn errors(program: &str, api: &Api) -> String {
    let mut docs = Vec::new();
    RequestError::describe(&mut docs);
    let mut all: BTreeMap<(u16, &str), ErrorDoc> = BTreeMap::new();
    for doc in docs.into_iter().chain(api.errors().values().copied()) {
        all.insert((doc.code.status(), doc.name), doc);
    }
    let mut text = format!(
        "# Errors\n\n\
         A failure is answered as `application/problem+json` (RFC 9457). `code` is stable: match on it. `detail` is for\n\
         people and may change. `request_id` finds the request in the log. An `invalid_request` lists every fault in\n\
         `errors`, each with the JSON pointer of the value and the rule it breaks. 429 and 503 say in `Retry-After` when to\n\
         try again; 401 says in `WWW-Authenticate` how to sign in.\n\n\
         Printed by `{program} errors`; to change it, change the code.\n\n\
         | Code | Status | Title | Meaning |\n|---|---|---|---|\n",
    );
    for ((status, name), doc) in &all {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{name}` | {status} | {} | {} |", doc.code.title(), cell(doc.meaning));
    }
    text
}

/// Text that stays within one cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Text in lines of at most `width` columns.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}
