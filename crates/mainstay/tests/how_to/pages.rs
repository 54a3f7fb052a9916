//! What the documents say that can be held against the code: a block of Rust or SQL in a page stands, line by line, in a
//! source file; a dependency has its line.

use std::path::{Path, PathBuf};

/// The pages, and the folders whose files they quote.
const PAGES: [(&str, &[&str]); 7] = [
    ("README.md", &["domains/posts", "examples/todo", OURS]),
    ("README.ko.md", &["domains/posts", "examples/todo", OURS]),
    ("docs/how-to/add-a-domain.md", &[OURS, "crates/mainstay/migrations"]),
    ("docs/how-to/add-a-resource.md", &[OURS, "crates/mainstay/migrations"]),
    ("docs/how-to/add-an-endpoint.md", &[OURS]),
    ("docs/how-to/cache-a-resource.md", &[OURS]),
    ("docs/how-to/limit-an-endpoint.md", &[OURS]),
];

const OURS: &str = "crates/mainstay/tests/how_to";

fn sources(folder: &Path, out: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|ending| ending == "rs" || ending == "sql") {
            out.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

/// The fenced blocks of Rust and SQL, and the line each begins at.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(page.lines()) {
        match &mut open {
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
            None if line == "```rust" || line == "```sql" => open = Some((number, String::new())),
            None => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

#[test]
fn every_block_of_code_is_compiled() {
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", ".."].iter().collect();
    for (page, folders) in PAGES {
        let mut files = Vec::new();
        folders.iter().for_each(|folder| sources(&root.join(folder), &mut files));
        let blocks = blocks(&std::fs::read_to_string(root.join(page)).unwrap());
        assert!(!blocks.is_empty(), "{page} shows no code");
        for (line, block) in blocks {
            assert!(
                files.iter().any(|file| file.contains(&block)),
                "{page}:{line}: this block stands in no file under {folders:?}; quote one as it is:\n{block}"
            );
        }
    }
}

/// The names in the first column of the table of dependencies.
fn listed(page: &str) -> Vec<String> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let firsts = rows.filter_map(|line| line.split('|').nth(1));
    firsts.flat_map(|cell| cell.split(',')).map(|name| name.trim().trim_matches('`').to_owned()).collect()
}

#[test]
fn every_dependency_has_a_line_that_says_why() {
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", ".."].iter().collect();
    let manifest: toml::Table = std::fs::read_to_string(root.join("Cargo.toml")).unwrap().parse().unwrap();
    let all = manifest["workspace"]["dependencies"].as_table().unwrap();
    let mut foreign: Vec<String> =
        all.iter().filter(|(_, what)| what.get("path").is_none()).map(|(name, _)| name.clone()).collect();
    let mut listed = listed(&std::fs::read_to_string(root.join("docs/dependencies.md")).unwrap());
    foreign.sort();
    listed.sort();
    assert_eq!(listed, foreign, "docs/dependencies.md on the left, the root Cargo.toml on the right");
}

/// The Korean README says the same: the same headings in number, and every block of commands and code as it is.
#[test]
fn the_korean_readme_follows() {
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", ".."].iter().collect();
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let shape = |page: &str| {
        let mut is_block = false;
        let mut shape = Vec::new();
        for line in page.lines() {
            let is_fence = line.starts_with("```");
            if is_fence || is_block {
                shape.push(line.to_owned());
            } else if line.starts_with('#') {
                shape.push(line.chars().take_while(|c| *c == '#').collect());
            }
            is_block ^= is_fence;
        }
        shape
    };
    let (english, korean) = (shape(&read("README.md")), shape(&read("README.ko.md")));
    let differs = english.iter().zip(&korean).find(|(english, korean)| english != korean);
    assert_eq!(differs, None, "README.ko.md must say what README.md says: translate the change");
    assert_eq!(english.len(), korean.len(), "README.ko.md must say what README.md says: translate the change");
}

#[test]
fn the_proxy_that_is_shown_is_the_one_that_is_tried() {
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", ".."].iter().collect();
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let (page, tried) = (read("docs/how-to/run-three-nodes.md"), read("crates/devservers/src/nginx.conf.txt"));
    assert!(page.contains(&format!("```nginx\n{tried}```\n")), "quote crates/devservers/src/nginx.conf.txt as it is");
}
