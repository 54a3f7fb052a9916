//! Dependencies point down: server → domains → façade → platform crates → kernel. The table below is the whole rule;
//! a package that no row covers is an error too, so a new crate has to say where it stands.

use anyhow::Result;
use devservers::workspace::{Package, Workspace};

use crate::check;

/// What a package may depend on among our own. Places are directories; `*` stands for one component.
struct Row {
    place: &'static str,
    may: &'static [&'static str],
    /// For dev-dependencies, in addition to `may` and the testkit.
    tests_may: &'static [&'static str],
    why: &'static str,
}

const TESTKIT: &str = "crates/testkit";
/// What joins into an app.
const PLATFORM: &[&str] = &[
    "crates/kernel",
    "crates/macros",
    "crates/web",
    "crates/store",
    "crates/cache",
    "crates/resource",
    "crates/telemetry",
];
const DEVSERVERS: &str = "crates/devservers";

/// The first row that fits is the one that counts: exceptions stand above the rule they except.
const ROWS: &[Row] = &[
    row("crates/kernel", &[], "the words everyone shares know nobody"),
    Row {
        place: "crates/macros",
        may: &[],
        // Its README has an example.
        tests_may: &["crates/mainstay"],
        why: "macros name `::mainstay` in what they emit and link nothing of ours",
    },
    Row {
        place: "crates/resource",
        may: &["crates/kernel", "crates/web", "crates/store", "crates/cache"],
        // Its promises are about derived resources in a running app.
        tests_may: &["crates/mainstay"],
        why: "a resource is where a row meets the wire: the one platform crate that joins several",
    },
    row("crates/app", PLATFORM, "an app joins the platform crates; it knows no command line"),
    row("crates/cli", &["crates/*"], "the process drives an app"),
    Row {
        place: "crates/mainstay",
        may: &["crates/*"],
        tests_may: &[],
        why: "the façade is the sum of the platform crates",
    },
    row(TESTKIT, &["crates/*"], "it builds whole apps from the façade, and reaches below it to break them"),
    row(
        "crates/fuzzing",
        &["crates/*", TESTKIT, "domains/auth"],
        "it judges whole apps, and tokens; no program has it",
    ),
    row(DEVSERVERS, &[], "it starts other people's servers, and ours as a process"),
    Row {
        place: "crates/*",
        may: &["crates/kernel"],
        tests_may: &["crates/*"],
        why: "a platform crate knows its one subject and the kernel; its tests may see it joined to the others",
    },
    Row {
        place: "domains/*",
        may: &["crates/mainstay"],
        tests_may: &["domains/*"],
        why: "domains meet through reactions, events and includes, never by import; their tests may bring others along",
    },
    row("server", &["crates/mainstay", "domains/*"], "the binary assembles every domain"),
    row("examples/*", &["crates/mainstay", "domains/*"], "a product sees what a product sees: the façade, and domains"),
    Row { place: "lab", may: &[DEVSERVERS], tests_may: &[], why: "the lab speaks HTTP, so that every target is alike" },
    row("resilience", &[DEVSERVERS], "it attacks the server from outside"),
    row("xtask", &[DEVSERVERS], "the tools judge the product from outside"),
];

/// What domains and products reach through the façade or not at all.
const FOREIGN_TO_DOMAINS: &[&str] = &["axum", "http", "hyper", "rusqlite", "tokio-postgres"];

const fn row(place: &'static str, may: &'static [&'static str], why: &'static str) -> Row {
    Row { place, may, tests_may: &[], why }
}

/// Judges the real workspace.
pub fn check(workspace: &Workspace) -> Result<()> {
    check::none_of(&faults(&workspace.packages))
}

fn faults(packages: &[Package]) -> Vec<String> {
    packages.iter().flat_map(|package| faults_of(package, packages)).collect()
}

fn faults_of(package: &Package, packages: &[Package]) -> Vec<String> {
    let Some(row) = ROWS.iter().find(|row| fits(row.place, &package.dir)) else {
        return vec![format!(
            "{} ({}) has no row in the table of xtask/src/dependency_rules.rs",
            package.name, package.dir
        )];
    };
    let is_product = ["domains/*", "examples/*"].contains(&row.place);
    let mut faults = Vec::new();
    for dependency in &package.dependencies {
        let is_test = dependency.kind.as_deref() == Some("dev");
        let ours = packages.iter().find(|other| other.name == dependency.name);
        let allowed = match ours {
            Some(ours) if is_test => {
                let judged_from_outside = ["xtask", "resilience"].contains(&row.place);
                (ours.dir == TESTKIT && !judged_from_outside)
                    || row.may.iter().chain(row.tests_may).any(|place| fits(place, &ours.dir))
            }
            Some(ours) if ours.dir == TESTKIT => row.may.contains(&TESTKIT),
            Some(ours) => row.may.iter().any(|place| fits(place, &ours.dir)),
            None => is_test || !is_product || !FOREIGN_TO_DOMAINS.contains(&dependency.name.as_str()),
        };
        if !allowed {
            let how = if is_test { "may not depend on, even in tests," } else { "may not depend on" };
            faults.push(format!("{} {how} {}: {}", package.name, dependency.name, row.why));
        }
    }
    faults
}

/// Whether a directory is at a place; `*` stands for exactly one component.
fn fits(place: &str, dir: &str) -> bool {
    let (places, dirs) = (place.split('/'), dir.split('/'));
    places.clone().count() == dirs.clone().count() && places.zip(dirs).all(|(place, dir)| place == "*" || place == dir)
}

#[cfg(test)]
mod tests {
    use devservers::workspace::Dependency;

    use super::*;

    /// `name@dir: dep dev=dep …`, a package a line.
    fn packages(text: &str) -> Vec<Package> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let parse = |line: &str| {
            let (head, dependencies) = line.split_once(':').unwrap();
            let (name, dir) = head.split_once('@').unwrap();
            let dependencies = dependencies.split_whitespace().map(|word| match word.split_once('=') {
                Some((kind, name)) => Dependency { name: name.to_owned(), kind: Some(kind.to_owned()) },
                None => Dependency { name: word.to_owned(), kind: None },
            });
            Package { name: name.to_owned(), dir: dir.to_owned(), dependencies: dependencies.collect() }
        };
        lines.map(parse).collect()
    }

    const HOUSE: &str = "
        mainstay-kernel@crates/kernel: serde dev=mainstay-testkit
        mainstay-macros@crates/macros: syn
        mainstay-web@crates/web: mainstay-kernel http axum dev=mainstay-testkit dev=mainstay-macros
        mainstay-store@crates/store: mainstay-kernel rusqlite dev=mainstay-testkit
        mainstay-resource@crates/resource: mainstay-kernel mainstay-web mainstay-store
        mainstay@crates/mainstay: mainstay-kernel mainstay-macros mainstay-web mainstay-store mainstay-resource
        mainstay-testkit@crates/testkit: mainstay mainstay-store
        mainstay-auth@domains/auth: mainstay dev=mainstay-testkit
        mainstay-posts@domains/posts: mainstay serde dev=mainstay-testkit dev=mainstay-auth
        mainstay-server@server: mainstay mainstay-auth mainstay-posts clap dev=mainstay-testkit
        todo@examples/todo: mainstay dev=mainstay-testkit
        xtask@xtask: anyhow
    ";

    fn faults_after(from: &str, to: &str) -> Vec<String> {
        assert!(HOUSE.contains(from), "{from}");
        faults(&packages(&HOUSE.replace(from, to)))
    }

    #[test]
    fn the_house_stands() {
        assert_eq!(faults(&packages(HOUSE)), Vec::<String>::new());
    }

    #[test]
    fn each_wall_holds() {
        for (from, to, told) in [
            ("posts: mainstay", "posts: mainstay mainstay-auth", "mainstay-posts may not depend on mainstay-auth"),
            ("posts: mainstay", "posts: mainstay-store", "mainstay-posts may not depend on mainstay-store"),
            ("posts: mainstay", "posts: mainstay axum", "mainstay-posts may not depend on axum"),
            ("kernel: serde", "kernel: mainstay-web", "mainstay-kernel may not depend on mainstay-web"),
            ("kernel rusqlite", "web", "mainstay-store may not depend on mainstay-web"),
            ("kernel rusqlite", "testkit", "mainstay-store may not depend on mainstay-testkit"),
            ("posts clap", "posts mainstay-store", "mainstay-server may not depend on mainstay-store"),
            ("todo: mainstay", "todo: mainstay-store", "todo may not depend on mainstay-store"),
            ("xtask: anyhow", "xtask: dev=mainstay-testkit", "xtask may not depend on, even in tests,"),
            ("xtask: anyhow", "xtask: mainstay", "xtask may not depend on mainstay"),
            ("xtask@xtask", "odd@somewhere", "odd (somewhere) has no row"),
        ] {
            let faults = faults_after(from, to);
            assert!(faults.len() == 1 && faults[0].starts_with(told), "{told}: {faults:?}");
        }
    }
}
