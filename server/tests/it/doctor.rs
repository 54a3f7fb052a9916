use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use testkit::{TestDatabase, both};

use crate::process::{Folder, PASSWORD, Said, mainstay, run};

/// Settings of which nothing is to be said.
const GOOD: [(&str, &str); 6] = [
    ("MAINSTAY_MODE", "production"),
    ("MAINSTAY_SECRET_KEY", "0123456789abcdefghijklmnopqrstuvwxyzABCD"),
    ("MAINSTAY_PUBLIC_URL", "https://api.example.com"),
    ("MAINSTAY_SERVER__LISTEN", "127.0.0.1:0"),
    ("MAINSTAY_SERVER__MAX_CONNECTIONS", "100"),
    ("MAINSTAY_AUTH__PASSWORD_MIN_CHARACTERS", "15"),
];

/// What depends on the machine the tests run on.
const OF_THE_MACHINE: [&str; 5] =
    ["open_files_limit", "database_in_memory", "database_on_network", "disk_nearly_full", "hash_memory"];

fn doctor(folder: &Folder, variables: &[(&str, &str)]) -> (Said, BTreeSet<String>) {
    let said = run(mainstay(folder).args(["doctor", "--json"]).envs(variables.iter().copied()), "");
    let report: Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let findings = report["findings"].as_array().unwrap();
    let serious = findings.iter().filter(|finding| finding["severity"] == "serious").count();
    assert_eq!(report["serious"], serious);
    assert_eq!(said.code, Some(i32::from(serious > 0)), "{}", said.out);
    for finding in findings {
        assert!(["what", "fix"].iter().all(|name| !finding[name].as_str().unwrap().is_empty()), "{finding}");
    }
    let codes = findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned());
    let codes = codes.filter(|code| !OF_THE_MACHINE.contains(&code.as_str())).collect();
    (said, codes)
}

fn set<const N: usize>(codes: [&str; N]) -> BTreeSet<String> {
    codes.map(str::to_owned).into()
}

#[test]
fn a_fresh_folder_is_not_ready_and_stays_untouched() {
    let folder = Folder::new();
    let (_, codes) = doctor(&folder, &[]);
    assert_eq!(codes, set(["development_mode", "public_url_missing", "database_absent", "passwords_short"]));
    let said = run(mainstay(&folder).arg("doctor"), "");
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("serious  development_mode\n"), "{}", said.out);
    assert!(said.out.lines().all(|line| line.chars().count() <= 80), "{}", said.out);
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn settings_that_are_refused_are_the_finding() {
    let folder = Folder::new();
    let (said, codes) = doctor(&folder, &[("MAINSTAY_MODE", "production")]);
    assert_eq!(codes, set(["settings_refused"]));
    assert!(said.out.contains("secret_key"), "{}", said.out);
}

#[test]
fn files_that_others_may_read_are_told() {
    let folder = Folder::new();
    assert_eq!(run(mainstay(&folder).arg("migrate"), "").code, Some(0));
    folder.write("data/secret.key", "0123456789abcdefghijklmnopqrstuvwxyzABCD");
    for name in ["data/secret.key", "data/mainstay.db"] {
        std::fs::set_permissions(folder.path().join(name), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let (said, codes) = doctor(&folder, &[]);
    assert!(codes.is_superset(&set(["secret_readable", "database_readable"])), "{}", said.out);
}

#[test]
fn a_database_that_is_away_is_told() {
    let folder = Folder::new();
    let url = ("MAINSTAY_DATABASE__URL", "postgres://someone:hidden@127.0.0.1:1/nothing");
    let (said, codes) = doctor(&folder, &[&GOOD[..], &[url]].concat());
    assert_eq!(codes, set(["database_not_answering"]));
    assert!(!said.out.contains("hidden"), "{}", said.out);
}

both! {
    async fn nothing_is_said_once_all_is_mended(db: TestDatabase) {
        let folder = Folder::new();
        let good = [&GOOD[..], &[("MAINSTAY_DATABASE__URL", db.url())]].concat();
        let of_tests = set(["postgres_superuser", "postgres_fsync_off", "postgres_full_page_writes_off",
            "postgres_synchronous_commit_off", "postgres_connections"]);
        let codes = || doctor(&folder, &good).1.difference(&of_tests).cloned().collect::<BTreeSet<_>>();
        let first = codes();
        // A file that was never opened is not there; a database on a server is.
        assert!([set(["migrations_pending"]), set(["database_absent"])].contains(&first), "{first:?}");
        assert_eq!(codes(), first, "it makes and applies nothing");
        assert_eq!(run(mainstay(&folder).arg("migrate").envs(good.iter().copied()), "").code, Some(0));
        assert_eq!(codes(), set(["no_administrator"]));
        let create = ["admin", "create", "root@example.com"];
        let said = run(mainstay(&folder).args(create).envs(good.iter().copied()), &format!("{PASSWORD}\n"));
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert_eq!(codes(), set([]));
    }
}

#[test]
fn a_database_of_a_newer_program_is_told() {
    let folder = Folder::new();
    assert_eq!(run(mainstay(&folder).arg("migrate"), "").code, Some(0));
    let file = rusqlite::Connection::open(folder.path().join("data/mainstay.db")).unwrap();
    let sql = "insert into mainstay_migrations values ('auth', 99, '0099_later', 'x', 0)";
    file.execute(sql, []).unwrap();
    drop(file);
    let (said, codes) = doctor(&folder, &GOOD);
    assert_eq!(codes, set(["migrations_differ"]));
    assert!(said.out.contains("0099_later"), "{}", said.out);
}
