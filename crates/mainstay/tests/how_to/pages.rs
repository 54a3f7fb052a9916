//! A page that shows code shows code that is compiled: each of its blocks of Rust and SQL stands, line by line, in a
//! source file.

use std::path::{Path, PathBuf};

/// The pages, and the folders whose files they quote.
const PAGES: [(&str, &[&str]); 4] = [
    ("README.md", &["domains/posts", OURS]),
    ("docs/how-to/add-a-domain.md", &[OURS, "crates/mainstay/migrations"]),
    ("docs/how-to/add-a-resource.md", &[OURS, "crates/mainstay/migrations"]),
    ("docs/how-to/add-an-endpoint.md", &[OURS]),
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
