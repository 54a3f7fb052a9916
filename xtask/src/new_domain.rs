//! `cargo xtask new-domain NAME`: the smallest domain that passes every gate, and its place in the server.
//!
//! The files are filled-in copies of `xtask/src/new_domain`. What cannot be put in its place leaves nothing behind:
//! everything is made in memory first.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use devservers::output;
use devservers::workspace::Workspace;

/// Options of `cargo xtask new-domain`.
#[derive(clap::Args)]
pub struct Args {
    /// What the domain is about, in the plural and in snake_case: `recipes`, `audit_entries`.
    name: String,
}

/// Names that mean something else to Rust, to cargo or to the databases.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "information_schema",
    "let",
    "loop",
    "macro",
    "main",
    "mainstay",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "public",
    "ref",
    "return",
    "selfs",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "tests",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Every file of a domain, and the text it is filled in from.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("new_domain/Cargo.toml.txt")),
    ("README.md", include_str!("new_domain/README.md.txt")),
    ("migrations/0001_{table}.sql", include_str!("new_domain/migration.sql.txt")),
    ("src/lib.rs", include_str!("new_domain/lib.rs.txt")),
    ("src/model.rs", include_str!("new_domain/model.rs.txt")),
    ("texts/ko.toml", include_str!("new_domain/ko.toml.txt")),
    ("tests/it/main.rs", include_str!("new_domain/tests.rs.txt")),
];

/// Makes the domain and says what is left to do.
pub fn run(args: &Args, workspace: &Workspace) -> Result<ExitCode> {
    let name = &args.name;
    let mut sources = Vec::new();
    for (file, text) in files(name, workspace)? {
        let path = workspace.root.join(&file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {file}");
        sources.extend(file.ends_with(".rs").then_some(file));
    }
    // Where a name stands in an order of names depends on the name.
    let mut format = Command::new("rustfmt");
    output(format.args(["--edition", "2024"]).args(sources).current_dir(&workspace.root))?;
    println!(
        "
Next:
  1. domains/{name}/src/model.rs and its migration: say what one of them is.
  2. domains/{name}/README.md: what the domain owns, offers, promises.
  3. domains/{name}/texts/ko.toml: what it is called in Korean.
  4. cargo xtask gen                                  (the document follows)
  5. cargo xtask test -- -p mainstay-{name}
  6. cargo xtask check
docs/how-to/add-a-domain.md tells the rest."
    );
    Ok(ExitCode::SUCCESS)
}

/// All that is written: path from the root, and text.
fn files(name: &str, workspace: &Workspace) -> Result<Vec<(String, String)>> {
    refuse(name, workspace)?;
    let words = Words::of(name, &prefixes(workspace)?);
    let mut files: Vec<(String, String)> =
        FILES.iter().map(|(file, text)| (format!("domains/{name}/{}", words.fill(file)), words.fill(text))).collect();

    let line = format!("{name} = {{ path = \"domains/{name}\", package = \"mainstay-{name}\" }}\n");
    let root = workspace.read("Cargo.toml")?;
    let root = before(&root, ", \"xtask\"", &format!(", \"domains/{name}\""), "the list of members in Cargo.toml")?;
    let root = before(&root, "\nanyhow = ", &line, "our own crates in Cargo.toml")?;
    files.push(("Cargo.toml".to_owned(), root));

    let server = workspace.read("server/Cargo.toml")?;
    let dependency = format!("{name}.workspace = true\n");
    let server = before(&server, "\n[dev-dependencies]", &dependency, "the dependencies in server/Cargo.toml")?;
    files.push(("server/Cargo.toml".to_owned(), server));

    let main = workspace.read("server/src/main.rs")?;
    let at = main.rfind(".domain(").and_then(|at| Some(at + main[at..].find('\n')?));
    let at = at.context("there is no `.domain(…)` in server/src/main.rs; add the domain by hand")?;
    let (head, tail) = main.split_at(at);
    files.push(("server/src/main.rs".to_owned(), format!("{head}\n        .domain({name}::domain()){tail}")));
    Ok(files)
}

/// Says why a name cannot be, and which could.
fn refuse(name: &str, workspace: &Workspace) -> Result<()> {
    let shaped = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !name.ends_with('_')
        && !name.contains("__");
    ensure!(
        shaped && (3..=40).contains(&name.len()),
        "`{name}` cannot be a domain's name: write it in snake_case, 3 to 40 of a–z, 0–9 and `_`, a letter first, as in \
         `recipes`"
    );
    if RESERVED.contains(&name) || name.starts_with("pg_") {
        bail!("`{name}` means something else to Rust or to the databases; say more, as in `{name}_entries`");
    }
    let folder = format!("domains/{name}");
    if workspace.root.join(&folder).exists() {
        bail!("{folder} is there already; take another name, or add to it (docs/how-to/add-a-resource.md)");
    }
    let manifest: toml::Table = workspace.read("Cargo.toml")?.parse().context("cannot read Cargo.toml")?;
    let taken = manifest["workspace"]["dependencies"].as_table().is_some_and(|all| all.contains_key(name));
    if taken {
        bail!("a crate is called `{name}` here already (Cargo.toml); say more, as in `{name}_entries`");
    }
    Ok(())
}

/// What stands in the templates' places.
struct Words(Vec<(&'static str, String)>);

impl Words {
    fn of(name: &str, taken: &[String]) -> Self {
        // `recipes` are made of recipes; `library` holds items.
        let one = match (name.strip_suffix("ies"), name.strip_suffix('s')) {
            (Some(stem), _) => Some(format!("{stem}y")),
            (None, Some(one)) if !one.ends_with('s') && one.len() > 2 => Some(one.to_owned()),
            _ => None,
        };
        let table = if one.is_some() { name.to_owned() } else { format!("{name}_items") };
        let one = one.unwrap_or_else(|| format!("{name}_item"));
        let kind: String = one.split('_').map(capital).collect();
        let title = table.replace('_', " ");
        Self(vec![
            ("{domain}", name.to_owned()),
            ("{Title}", capital(&title)),
            ("{title}", title),
            ("{path}", format!("/{}", table.replace('_', "-"))),
            ("{table}", table),
            ("{Type}", kind),
            ("{prefix}", prefix(&one, taken)),
            ("{one}", one),
        ])
    }

    fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (place, word)| text.replace(place, word))
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Three letters that no other kind of id begins with.
fn prefix(one: &str, taken: &[String]) -> String {
    let letters: Vec<char> = one.chars().filter(char::is_ascii_lowercase).collect();
    let of = |second: char, third: char| [letters[0], second, third].iter().collect::<String>();
    let near = (1..letters.len()).flat_map(|a| (a + 1..letters.len()).map(move |b| (a, b)));
    let mut near = near.map(|(a, b)| of(letters[a], letters[b]));
    let far = || ('a'..='z').flat_map(|a| ('a'..='z').map(move |b| (a, b))).map(|(a, b)| of(a, b));
    let is_free = |word: &String| !taken.contains(word);
    near.find(is_free).or_else(|| far().find(is_free)).unwrap_or_else(|| of('x', 'x'))
}

/// The prefixes of ids that the sources state.
fn prefixes(workspace: &Workspace) -> Result<Vec<String>> {
    let mut taken = Vec::new();
    for file in workspace.files()?.iter().filter(|file| file.ends_with(".rs") && !file.starts_with("xtask/")) {
        let text = workspace.read(file)?;
        let after = text.split("const PREFIX: &'static str = \"").skip(1);
        taken.extend(after.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    Ok(taken)
}

/// `text` with `what` put in before the first `mark`.
fn before(text: &str, mark: &str, what: &str, place: &str) -> Result<String> {
    let at = text.find(mark).with_context(|| format!("cannot find {place}; add the domain by hand"))?;
    let (head, tail) = text.split_at(at);
    Ok(format!("{head}{what}{tail}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{dependency_rules, links, module_rules, translations};

    /// The real tree, in a folder of its own where a domain can be made.
    struct Copy(Workspace);

    impl Copy {
        fn new(purpose: &str) -> Self {
            let mut workspace = Workspace::load().unwrap();
            let root = std::env::temp_dir().join(format!("mainstay-new-domain-{purpose}-{}", std::process::id()));
            for file in workspace.files().unwrap() {
                let to = root.join(&file);
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::copy(workspace.root.join(&file), to).unwrap();
            }
            let git = Command::new("git").args(["init", "--quiet"]).current_dir(&root).status().unwrap();
            assert!(git.success());
            workspace.root = root;
            Self(workspace)
        }
    }

    impl Drop for Copy {
        fn drop(&mut self) {
            // What cannot be removed lies in the system's folder for such things.
            let _ = fs::remove_dir_all(&self.0.root);
        }
    }

    fn packages(workspace: &Workspace) -> Vec<devservers::workspace::Package> {
        let mut ask = Command::new("cargo");
        ask.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(&workspace.root);
        Workspace::read_from(&output(&mut ask).unwrap()).unwrap().packages
    }

    /// Its build and its own tests take minutes: a change of the templates is tried by hand, with the whole gate.
    #[test]
    fn a_new_domain_passes_the_cheap_gates() {
        let mut copy = Copy::new("gates");
        for name in ["recipes", "audit_entries", "library"] {
            run(&Args { name: name.to_owned() }, &copy.0).unwrap();
        }
        copy.0.packages = packages(&copy.0);
        for name in ["mainstay-recipes", "mainstay-audit_entries", "mainstay-library"] {
            assert!(copy.0.packages.iter().any(|package| package.name == name), "{name} is no member");
        }
        let server = copy.0.packages.iter().find(|package| package.dir == "server").unwrap();
        assert!(server.dependencies.iter().any(|dependency| dependency.name == "mainstay-library"));
        let main = copy.0.read("server/src/main.rs").unwrap();
        assert!(
            main.contains("        .domain(recipes::domain())\n        .domain(audit_entries::domain())\n"),
            "{main}"
        );
        dependency_rules::check(&copy.0).unwrap();
        module_rules::check(&copy.0).unwrap();
        translations::check(&copy.0).unwrap();
        links::check(&copy.0).unwrap();
        let sources = copy.0.files().unwrap().into_iter().filter(|file| file.ends_with(".rs"));
        let made = ["domains/recipes/", "domains/audit_entries/", "domains/library/", "server/src/main.rs"];
        let made: Vec<_> = sources.filter(|file| made.iter().any(|place| file.starts_with(place))).collect();
        assert_eq!(made.len(), 10, "{made:?}");
        let mut format = Command::new("rustfmt");
        format.args(["--check", "--edition", "2024"]).args(made).current_dir(&copy.0.root);
        assert!(format.status().unwrap().success());
    }

    #[test]
    fn a_name_that_cannot_be_is_refused_with_advice() {
        let workspace = Workspace::load().unwrap();
        for (name, told) in [
            ("Recipes", "write it in snake_case"),
            ("a", "3 to 40"),
            ("recipes_", "write it in snake_case"),
            ("../recipes", "write it in snake_case"),
            ("match", "say more, as in `match_entries`"),
            ("pg_stats", "say more"),
            ("posts", "domains/posts is there already"),
            ("store", "a crate is called `store` here already"),
            ("serde", "say more, as in `serde_entries`"),
        ] {
            let error = files(name, &workspace).map(drop).unwrap_err().to_string();
            assert!(error.contains(told), "{name}: {error}");
        }
    }

    #[test]
    fn words_are_made_of_the_name() {
        for (name, kind, table, path) in [
            ("recipes", "Recipe", "recipes", "/recipes"),
            ("audit_entries", "AuditEntry", "audit_entries", "/audit-entries"),
            ("library", "LibraryItem", "library_items", "/library-items"),
            ("address", "AddressItem", "address_items", "/address-items"),
        ] {
            let words: BTreeMap<_, _> = Words::of(name, &[]).0.into_iter().collect();
            let made = [&words["{Type}"], &words["{table}"], &words["{path}"]];
            assert_eq!(made, [kind, table, path], "{name}");
        }
        assert_eq!(prefix("post", &[]), "pos");
        assert_eq!(prefix("post", &["pos".to_owned(), "pot".to_owned()]), "pst");
    }
}
