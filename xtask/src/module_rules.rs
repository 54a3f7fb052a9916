//! Walls inside a crate, judged from its source: where SQL may stand, what a service and a model may not know, that
//! nothing is global, that the process has one place, and that no guard is made where nobody asked for one. Sources are
//! read as Rust tokens, so comments and documentation never count.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use devservers::workspace::Workspace;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use regex::Regex;

use crate::check;

/// Files that may hold a global all the same, and why. A row that nothing needs is an error: the list only shrinks.
const MAY_HOLD_GLOBALS: &[(&str, &str)] = &[
    ("crates/web/src/schema.rs", "a memo: one validator per input type, which follows from the type alone"),
    (
        "crates/store/src/reentrancy.rs",
        "a mark on the thread while it polls a transaction's closure, taken off after each poll",
    ),
    (
        "crates/store/src/sqlite/writer_connection.rs",
        "the writer thread's own connection, found by closures that are polled there",
    ),
    (
        "crates/kernel/src/thread.rs",
        "a number for each thread, to spread them over connections and buffers; it decides nothing else",
    ),
    ("crates/telemetry/src/sink.rs", "a mark on the thread while it writes a line, against a line in a line"),
    (
        "crates/store/src/sqlite/interrupt.rs",
        "the running statement's limit, read by SQLite's callback on the same thread",
    ),
];

/// Where the process is: its environment, its arguments, its end. `docs/decisions/0011-the-process-is-in-the-facade.md`.
const THE_PROCESS: &str = "crates/cli/src";

/// Types whose static would be shared mutable state. A `LazyLock` of a plain value is a constant and passes.
const SHARED_STATE: &[&str] =
    &["Mutex", "RwLock", "OnceLock", "OnceCell", "Cell", "RefCell", "UnsafeCell", "AtomicBool", "AtomicPtr"];

/// Judges every source of crates and domains. Tests, and what exists for them, may do
/// anything.
pub fn check(workspace: &Workspace) -> Result<()> {
    let mut sources = Vec::new();
    for file in workspace.files()? {
        let [room @ ("crates" | "domains"), _, "src", ..] = file.split('/').collect::<Vec<_>>()[..] else { continue };
        let is_for_tests =
            ["crates/testkit/", "crates/fuzzing/", "crates/devservers/"].iter().any(|place| file.starts_with(place));
        if file.ends_with(".rs") && !is_for_tests {
            let tokens = tokens(&workspace.read(&file)?).with_context(|| file.clone())?;
            sources.push((room == "domains", file, tokens));
        }
    }
    let guards: BTreeSet<&str> = sources.iter().flat_map(|(_, _, tokens)| guards(tokens)).collect();
    let mut all = Vec::new();
    for (is_domain, file, tokens) in &sources {
        let found = faults(*is_domain, file, tokens, &guards)?;
        all.extend(found.into_iter().map(|(line, what)| format!("{file}:{line}: {what}")));
    }
    for (file, _) in MAY_HOLD_GLOBALS {
        let is_needed = workspace.root.join(file).is_file() && has_globals(&workspace.read(file)?)?;
        if !is_needed {
            all.push(format!("xtask/src/module_rules.rs: {file} holds no global any more: delete its row"));
        }
    }
    check::none_of(&all)
}

/// One significant token and its line.
pub struct Token {
    /// As it is written.
    pub text: String,
    /// From 1.
    pub line: usize,
    /// Whether it is a string literal.
    pub is_string: bool,
    /// Whether it is a name in `#[derive(…)]`.
    pub is_derived: bool,
}

/// The tokens of a source, without documentation and what is only for tests.
pub fn tokens(source: &str) -> Result<Vec<Token>> {
    let stream: TokenStream = source.parse().ok().context("not Rust")?;
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    Ok(tokens)
}

fn faults(is_domain: bool, file: &str, tokens: &[Token], guards: &BTreeSet<&str>) -> Result<Vec<(usize, String)>> {
    let name = file.rsplit('/').next().unwrap_or(file);
    let mut faults = Vec::new();
    if is_domain {
        if name != "store.rs" {
            faults.extend(sql(tokens)?);
        }
        if name == "service.rs" || file.contains("/service/") {
            faults.extend(http_names(tokens));
        }
        if name == "model.rs" {
            faults.extend(asynchrony(tokens));
        }
    }
    if !file.starts_with(THE_PROCESS) {
        faults.extend(process(tokens));
    }
    if !MAY_HOLD_GLOBALS.iter().any(|(path, _)| *path == file) {
        faults.extend(globals(tokens));
    }
    faults.extend(eager_guards(tokens, guards));
    faults.sort();
    Ok(faults)
}

fn has_globals(source: &str) -> Result<bool> {
    Ok(!globals(&tokens(source)?).is_empty())
}

fn sql(tokens: &[Token]) -> Result<Vec<(usize, String)>> {
    // The start of a statement and the word that must follow it: `select` alone is also English.
    let statement = Regex::new(
        r"(?isx) ^ [\s(]* (
            select \s .* \s from \s | with \s+ (recursive \s+)? \w+ .* \s as \s* \( | insert \s+ (or \s+ \w+ \s+)? into \s
            | update \s+ \S+ \s+ set \s | delete \s+ from \s | (create|alter|drop) \s+ (table|index|view|schema) \s
            | begin \s+ immediate | savepoint \s | pragma \s
        )",
    )
    .context("the pattern of SQL statements")?;
    let strings = tokens.iter().filter(|token| token.is_string);
    let found = strings.filter(|token| statement.is_match(inner(&token.text)));
    Ok(found.map(|token| (token.line, "SQL outside store.rs".to_owned())).collect())
}

/// The text between a literal's quotes, prefixes and hashes taken off.
pub fn inner(literal: &str) -> &str {
    let open = literal.find('"').map_or(0, |at| at + 1);
    let close = literal.rfind('"').unwrap_or(literal.len()).max(open);
    &literal[open..close]
}

fn http_names(tokens: &[Token]) -> Vec<(usize, String)> {
    let is_path = |window: &&[Token]| {
        ["web", "http", "axum", "hyper"].contains(&window[0].text.as_str())
            && window[1].text == ":"
            && window[2].text == ":"
    };
    let found = tokens.windows(3).filter(is_path);
    found
        .map(|window| (window[0].line, format!("`{}::` in a service: use cases know no HTTP", window[0].text)))
        .collect()
}

fn asynchrony(tokens: &[Token]) -> Vec<(usize, String)> {
    let found = tokens.iter().filter(|token| ["async", "await"].contains(&token.text.as_str()));
    found.map(|token| (token.line, format!("`{}` in a model: rules are pure and do no I/O", token.text))).collect()
}

fn process(tokens: &[Token]) -> Vec<(usize, String)> {
    let is_read = |window: &&[Token]| {
        let words = [&window[0].text, &window[3].text].map(String::as_str);
        let is_path = window[1].text == ":" && window[2].text == ":";
        is_path
            && matches!(
                words,
                ["env", "var" | "var_os" | "vars" | "vars_os" | "args" | "args_os"] | ["process", "exit"]
            )
    };
    let found = tokens.windows(4).filter(is_read);
    found
        .map(|window| {
            let (from, what) = (&window[0].text, &window[3].text);
            (window[0].line, format!("`{from}::{what}` outside {THE_PROCESS}: hand the value in"))
        })
        .collect()
}

/// The types that do something when they are dropped.
fn guards(tokens: &[Token]) -> impl Iterator<Item = &str> {
    let is_drop = |window: &&[Token]| window[0].text == "Drop" && window[1].text == "for";
    tokens.windows(3).filter(is_drop).map(|window| window[2].text.as_str())
}

/// An argument is made before it is known whether it is wanted: a guard is dropped then, and undoes what another holds.
fn eager_guards(tokens: &[Token], guards: &BTreeSet<&str>) -> Vec<(usize, String)> {
    let is_here = self::guards(tokens).next().is_some();
    let is_eager = |window: &&[Token]| {
        let (method, made) = (window[0].text.as_str(), window[1].text.as_str());
        ["then_some", "or", "unwrap_or", "ok_or"].contains(&method)
            && (guards.contains(made) || made == "Self" && is_here)
    };
    let found = tokens.windows(2).filter(is_eager);
    found
        .map(|window| {
            let [method, made] = [&window[0].text, &window[1].text];
            (window[0].line, format!("`{method}` makes a `{made}` also where it is not wanted: make it in a closure"))
        })
        .collect()
}

fn globals(tokens: &[Token]) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let next = tokens.get(at + 1).map_or("", |next| next.text.as_str());
        let is_lifetime = at > 0 && tokens[at - 1].text == "'";
        if is_of_globals(token) && next == "!" {
            faults.push((token.line, format!("`{}!` is a global: hand the value in", token.text)));
        }
        if token.text != "static" || is_lifetime {
            continue;
        }
        let mut of_type = tokens[at + 1..].iter().take_while(|token| ![";", "="].contains(&token.text.as_str()));
        if next == "mut" {
            faults.push((token.line, "`static mut` is a global: hand the value in".to_owned()));
        } else if let Some(kind) = of_type.find(|token| is_shared_state(&token.text)) {
            faults.push((token.line, format!("a static `{}` is a global: hand the value in", kind.text)));
        }
    }
    faults
}

/// Whether a macro of this name makes globals.
fn is_of_globals(name: &Token) -> bool {
    ["thread_local", "lazy_static"].contains(&name.text.as_str())
}

fn is_shared_state(name: &str) -> bool {
    SHARED_STATE.contains(&name) || name.starts_with("AtomicU") || name.starts_with("AtomicI")
}

/// The tokens in order, groups opened; documentation, literals' kinds and `#[cfg(test)]` items taken care of.
fn flatten(stream: TokenStream, out: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                while matches!(trees.peek(), Some(TokenTree::Punct(next)) if next.as_char() == '!') {
                    trees.next();
                }
                let Some(TokenTree::Group(attribute)) = trees.next() else { continue };
                let text: String = attribute.stream().to_string().split_whitespace().collect();
                if text == "cfg(test)" {
                    for tree in trees.by_ref() {
                        match tree {
                            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => break,
                            TokenTree::Punct(end) if end.as_char() == ';' => break,
                            _ => {}
                        }
                    }
                } else if !text.starts_with("doc") {
                    let start = out.len();
                    flatten(attribute.stream(), out);
                    let is_derive = text.starts_with("derive(");
                    out[start..].iter_mut().for_each(|token| token.is_derived = is_derive);
                }
            }
            // The statics inside are reported once, by the macro's name.
            TokenTree::Group(_) if matches!(out.as_slice(), [.., name, bang] if bang.text == "!" && is_of_globals(name)) =>
                {}
            TokenTree::Group(group) => flatten(group.stream(), out),
            TokenTree::Ident(ident) => {
                out.push(Token { text: ident.to_string(), line, is_string: false, is_derived: false })
            }
            TokenTree::Punct(punct) => {
                out.push(Token { text: punct.to_string(), line, is_string: false, is_derived: false })
            }
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                let is_string = text.ends_with(['"', '#']) && text.contains('"');
                out.push(Token { text, line, is_string, is_derived: false });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, source: &str) -> Vec<usize> {
        let tokens = tokens(source).unwrap();
        let faults = faults(file.starts_with("domains"), file, &tokens, &guards(&tokens).collect()).unwrap();
        faults.into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn sql_stands_in_store_alone() {
        let source = "
            /// select id from posts: words in documentation are free
            fn list() -> &'static str { \"SELECT id\\n FROM posts WHERE x = $1\" }
            const ADD: &str = r#\"insert into posts values ($1)\"#;
            const CHANGE: &str = \"update posts set title = $1\";
            const TEXT: &str = \"select the post you want, then update it\";
            const MORE: &str = \"delete from the menu\";
            #[cfg(test)]
            mod tests { const T: &str = \"drop table posts\"; }
            const LAST: &str = \"with recent as (select 1) select 2\";
        ";
        assert_eq!(found("domains/posts/src/service.rs", source), [3, 4, 5, 7, 10]);
        assert!(found("domains/posts/src/store.rs", source).is_empty());
        assert!(found("crates/store/src/reader.rs", source).is_empty());
    }

    #[test]
    fn a_service_knows_no_http() {
        let source = "use mainstay::web::StatusCode;\n// http::Request\nfn f(x: axum::Json<u8>) {}\nlet http = 1;";
        assert_eq!(found("domains/posts/src/service.rs", source), [1, 3]);
        assert!(found("domains/posts/src/api.rs", source).is_empty());
    }

    #[test]
    fn a_model_waits_for_nothing() {
        let source = "fn f() {}\nasync fn g() { h().await }\n// async";
        assert_eq!(found("domains/posts/src/model.rs", source), [2, 2]);
        assert!(found("domains/posts/src/service.rs", source).is_empty());
    }

    #[test]
    fn the_process_has_one_place() {
        let source = "
            fn f() -> &'static str { env!(\"CARGO_PKG_VERSION\") }
            fn g() { std::env::vars_os(); }
            use std::env;
            fn h() { env::args().next(); std::process::exit(1) }
        ";
        assert_eq!(found("crates/web/src/lib.rs", source), [3, 5, 5]);
        assert!(found("crates/cli/src/settings.rs", source).is_empty());
    }

    #[test]
    fn a_guard_is_made_where_it_is_wanted() {
        let source = "
            impl<T> Drop for Turn<'_, T> { fn drop(&mut self) {} }
            fn f(is_new: bool) -> Option<Turn> { is_new.then_some(Turn { key: 1 }) }
            fn g(is_new: bool) -> Option<Turn> { is_new.then(|| Turn { key: 1 }) }
            impl Turn { fn new(turn: Option<Self>) -> Self { turn.unwrap_or(Self::first()) } }
            fn h(is_new: bool) -> Option<Plain> { is_new.then_some(Plain(1)) }
        ";
        assert_eq!(found("crates/web/src/lib.rs", source), [3, 5]);
    }

    #[test]
    fn nothing_is_global() {
        let source = "
            static mut A: u8 = 0;
            static B: AtomicU64 = AtomicU64::new(0);
            static C: LazyLock<Regex> = LazyLock::new(make);
            static D: LazyLock<std::sync::Mutex<u8>> = LazyLock::new(make);
            fn f(x: &'static Mutex<u8>) { let y: Mutex<&'static str>; }
            thread_local! { static E: Cell<u8> = const { Cell::new(0) }; }
            static F: &str = \"Mutex\";
        ";
        assert_eq!(found("crates/web/src/lib.rs", source), [2, 3, 5, 7]);
    }
}
