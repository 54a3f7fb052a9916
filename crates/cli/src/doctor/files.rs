//! Who else on this machine may read or change the files that belong to a server.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::settings::{Loaded, SECRET_FILE};
use app::Finding;

pub fn check(loaded: &Loaded) -> Vec<Finding> {
    let mut found = open_to_all(loaded);
    let secret = loaded.data.join(SECRET_FILE);
    if mode(&secret) & 0o077 != 0 {
        found.push(Finding::serious(
            "secret_readable",
            format!("Others on this machine may read {}, from which every key is derived.", secret.display()),
            format!("chmod 600 {}; if somebody may have read it, replace it.", secret.display()),
        ));
    }
    let database = database(loaded);
    if let Some(path) = database.iter().find(|path| mode(path) & 0o070 != 0).filter(|_| found_none(&found)) {
        found.push(Finding::advice(
            "database_readable",
            format!("The group of {} may read it, with all that is stored.", path.display()),
            mended(&database),
        ));
    }
    let settings = loaded.file();
    if mode(&settings) & 0o007 != 0
        && let Ok(text) = fs::read_to_string(&settings)
        && let Some(secret) = loaded.settings.secrets_in(&text).first()
    {
        let shown = settings.display();
        found.push(Finding::advice(
            "settings_file_readable",
            format!("Everyone on this machine may read {shown}, and {secret} is in it."),
            format!("chmod 600 {shown}, or set it in the environment."),
        ));
    }
    found
}

fn found_none(found: &[Finding]) -> bool {
    !found.iter().any(|finding| finding.code == "database_readable")
}

/// What of the database everyone on this machine may read or change: told by the doctor, and by every start.
pub fn open_to_all(loaded: &Loaded) -> Vec<Finding> {
    let database = database(loaded);
    let mut found = Vec::new();
    if let Some((path, mode)) = database.iter().map(|path| (path, mode(path))).find(|(_, mode)| mode & 0o007 != 0) {
        let may = if mode & 0o002 == 0 { "read" } else { "change" };
        found.push(Finding::serious(
            "database_readable",
            format!("Everyone on this machine may {may} {}, with all that is stored.", path.display()),
            mended(&database),
        ));
    }
    // In a folder like /tmp (its sticky bit) only the owner removes a file.
    if let Some(folder) = database.first().and_then(|path| path.parent())
        && mode(folder) & 0o1002 == 0o002
    {
        let shown = folder.display();
        found.push(Finding::serious(
            "database_folder_writable",
            format!("Everyone on this machine may put another database in the place of the one in {shown}."),
            format!("chmod 700 {shown}"),
        ));
    }
    found
}

fn mended(database: &[PathBuf]) -> String {
    let paths: Vec<String> = database.iter().map(|path| path.display().to_string()).collect();
    format!("chmod 600 {}", paths.join(" "))
}

/// The files of a SQLite database that are there, where links lead to.
fn database(loaded: &Loaded) -> Vec<PathBuf> {
    let Some(path) = loaded.settings.database.sqlite_file().and_then(|file| fs::canonicalize(file).ok()) else {
        return Vec::new();
    };
    let with = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    ["", "-wal", "-shm"].map(with).into_iter().filter(|path| path.is_file()).collect()
}

/// Who may do what; nobody where it is not there.
fn mode(path: &Path) -> u32 {
    fs::metadata(path).map_or(0, |about| about.permissions().mode())
}
