//! What must not compile, and what the compiler says: a type that the document cannot describe is named, at its place.
//!
//! Each file under `ui/` begins with `//~` lines: words that the compiler's answer must contain.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The library this test was built against lies beside it.
fn library() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let folder = here.parent().unwrap();
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("libmainstay-") && name.ends_with(".rlib")
    };
    let found = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(is_library);
    found
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
        .expect("the library was built before its tests")
}

fn compile(file: &Path, library: &Path) -> (bool, String) {
    let output = Command::new(option_env!("RUSTC").unwrap_or("rustc"))
        .args(["--edition", "2024", "--crate-type", "bin", "--emit", "metadata", "-o"])
        .arg(std::env::temp_dir().join(format!("mainstay-ui-{}.rmeta", std::process::id())))
        .arg("--extern")
        .arg(format!("mainstay={}", library.display()))
        .arg("-L")
        .arg(format!("dependency={}", library.parent().unwrap().display()))
        .arg(file)
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_cannot_be_described_does_not_compile() {
    let library = library();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let expected: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("//~ ")).collect();
        let (compiled, answer) = compile(&file, &library);
        let name = file.file_name().unwrap().to_string_lossy();
        if name.starts_with("good") {
            assert!(compiled, "{name}: {answer}");
            continue;
        }
        assert!(!compiled && !expected.is_empty(), "{name} compiles, or says nothing of what is expected");
        for words in expected {
            assert!(answer.contains(words), "{name}: no {words:?} in\n{answer}");
        }
    }
}
