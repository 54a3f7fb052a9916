//! Every seed once, on the stable compiler: the fuzzers cannot rot unseen, and what they found stays found.

use std::fs;
use std::path::Path;

/// Runs the judge over each seed of its folder; a seed that breaks it is named.
fn each_seed_of(name: &str, judge: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(name);
    let mut seeds: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder can be read").path())
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} has no seeds", folder.display());
    for seed in seeds {
        let data = fs::read(&seed).unwrap_or_else(|error| panic!("{}: {error}", seed.display()));
        eprintln!("{}", seed.display());
        judge(&data);
    }
}

#[test]
fn token() {
    each_seed_of("token", fuzzing::token);
}

#[test]
fn cursor() {
    each_seed_of("cursor", fuzzing::cursor);
}

#[test]
fn filter() {
    each_seed_of("filter", fuzzing::filter);
}

#[test]
fn body() {
    each_seed_of("body", fuzzing::body);
}
