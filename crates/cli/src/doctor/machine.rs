//! What the machine gives: open files, memory, and the disk a SQLite file is on.

use std::fs;
use std::path::Path;

use rustix::fs::{statfs, statvfs};

use super::super::descriptors;
use app::Finding;
use app::Settings;

const MIB: u64 = 1024 * 1024;

/// File systems that keep nothing over a restart (linux/magic.h).
const MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// File systems of another machine, whose locks SQLite cannot rely on: NFS, SMB, CIFS, 9p, AFS, Ceph.
const NETWORK: [i64; 6] = [0x6969, 0x517b, 0xff53_4d42, 0x0102_1997, 0x5346_414f, 0x00c3_6400];

pub fn check(settings: &Settings) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(open_files(settings.server.max_connections, descriptors::lack(settings)));
    if let Some(path) = settings.database.sqlite_file() {
        // The nearest folder that is there, where a link leads to: the others are made on its file system.
        let path = fs::canonicalize(&path).or_else(|_| std::path::absolute(&path)).unwrap_or_else(|_| path.into());
        if let Some(folder) = path.ancestors().skip(1).find(|folder| folder.is_dir()) {
            found.extend(disk(folder));
        }
    }
    found
}

/// `lack` is what the limit is and what it must be.
fn open_files(connections: usize, lack: Option<(u64, u64)>) -> Option<Finding> {
    let (limit, needed) = lack?;
    Some(Finding::serious(
        "open_files_limit",
        format!("This process may have {limit} files open; server.max_connections = {connections} needs {needed}."),
        format!("Raise the limit (`LimitNOFILE={needed}` for systemd, `ulimit -Hn`), or lower the setting."),
    ))
}

fn disk(folder: &Path) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Ok(about) = statfs(folder) {
        // The same bits, whatever sign the C library gives the field.
        found.extend(kind(about.f_type & 0xffff_ffff, folder));
    }
    if let Ok(about) = statvfs(folder) {
        // A file system without a fixed number of inodes says zero of zero.
        let inodes = (about.f_files > 0).then_some(about.f_favail);
        found.extend(room(about.f_bavail * about.f_frsize, inodes, folder));
    }
    found
}

fn kind(magic: i64, folder: &Path) -> Option<Finding> {
    let shown = folder.display();
    if MEMORY.contains(&magic) {
        return Some(Finding::serious(
            "database_in_memory",
            format!("{shown} is kept in memory: the database is gone after a restart of the machine."),
            "Name a file on a disk in database.url.",
        ));
    }
    NETWORK.contains(&magic).then(|| {
        Finding::serious(
            "database_on_network",
            format!("{shown} is on another machine: SQLite cannot rely on its locks, and the file can be damaged."),
            "Name a file on a disk of this machine in database.url, or use PostgreSQL.",
        )
    })
}

fn room(free_bytes: u64, inodes: Option<u64>, folder: &Path) -> Option<Finding> {
    let shown = folder.display();
    let what = if free_bytes < 1024 * MIB {
        format!("{} MiB are free where the database is ({shown}).", free_bytes / MIB)
    } else if inodes.is_some_and(|inodes| inodes < 1_000) {
        format!("Fewer than 1000 more files can be made where the database is ({shown}).")
    } else {
        return None;
    };
    let fix = "Make room, or move the database: once the disk is full every write is refused.";
    let is_serious = free_bytes < 256 * MIB || inodes.is_some_and(|inodes| inodes < 100);
    let make = if is_serious { Finding::serious } else { Finding::advice };
    Some(make("disk_nearly_full", what, fix))
}

/// What the machine has, or the container is allowed, whichever is less.
pub fn memory_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let allowed = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    [machine, allowed].into_iter().flatten().min()
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lack_is_told() {
        let here = Path::new("/data");
        let severity = |finding: Option<Finding>| finding.map(|finding| (finding.code, finding.severity));
        assert!(open_files(20_000, None).is_none());
        assert_eq!(open_files(20_000, Some((1024, 20_200))).unwrap().code, "open_files_limit");
        assert_eq!(kind(0x0102_1994, here).unwrap().code, "database_in_memory");
        assert_eq!(kind(0x6969, here).unwrap().code, "database_on_network");
        assert!(kind(0xef53, here).is_none(), "ext4");
        assert!(room(10 * 1024 * MIB, Some(1 << 20), here).is_none() && room(10 * 1024 * MIB, None, here).is_none());
        use app::Severity::{Advice, Serious};
        assert_eq!(severity(room(512 * MIB, None, here)), Some(("disk_nearly_full", Advice)));
        assert_eq!(severity(room(100 * MIB, None, here)), Some(("disk_nearly_full", Serious)));
        assert_eq!(severity(room(10 * 1024 * MIB, Some(5), here)), Some(("disk_nearly_full", Serious)));
    }

    #[test]
    fn memory_is_read() {
        assert_eq!(total("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 * MIB));
        assert_eq!(total("nothing of the kind"), None);
    }
}
