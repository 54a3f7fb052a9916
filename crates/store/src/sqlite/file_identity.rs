//! Whether the open file is still the one at its path. SQLite holds on to a file that was removed or replaced, and a
//! commit into it succeeds: into nothing, as soon as the process ends. So this is checked before a commit is
//! acknowledged.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::StoreError;

/// The three files of a database, as they were when it was opened. Held by the writer, which acknowledges, by the
/// readers, which must not open another, and by the readiness check.
#[derive(Debug)]
pub(crate) struct FileIdentity {
    files: [PathBuf; 3],
    /// Device and number of each. Set once the first connection has made them all.
    were: OnceLock<[(u64, u64); 3]>,
    is_lost: AtomicBool,
}

impl FileIdentity {
    pub(crate) fn new(path: &Path) -> Self {
        // SQLite keeps the log and its index beside the file that a link leads to. The link itself is looked at too:
        // if it leads elsewhere since, the next process opens another database.
        let led_to = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let with = |ending: &str| {
            let mut name = led_to.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        // The log and its index as well: what is committed stands in the log until it is moved.
        let files = [path.to_owned(), with("-wal"), with("-shm")];
        Self { files, were: OnceLock::new(), is_lost: AtomicBool::new(false) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.files[0]
    }

    /// Takes note of the files, once a connection has them open.
    pub(crate) fn note(&self) -> std::io::Result<()> {
        let [database, log, index] = &self.files;
        let were = [identity(database)?, identity(log)?, identity(index)?];
        // A second note would be of what is to be compared.
        let _ = self.were.set(were);
        Ok(())
    }

    /// Whether the files at the path are those that are open. Three `stat`, some microseconds: once for each group of
    /// commits, and for each connection that is opened.
    ///
    /// # Errors
    /// When they are not. This is logged once, and once more when they are back.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let Some(were) = self.were.get() else { return Ok(()) };
        let other = self.files.iter().zip(were).find(|(file, was)| identity(file).ok().as_ref() != Some(was));
        match other {
            None => {
                if self.is_lost.swap(false, Ordering::SeqCst) {
                    tracing::warn!(target: "mainstay::store", "the database's files are back in their place; writes go on");
                }
                Ok(())
            }
            Some((file, _)) => {
                if !self.is_lost.swap(true, Ordering::SeqCst) {
                    tracing::error!(
                        target: "mainstay::store",
                        file = %file.display(),
                        "the database's file was removed or replaced while the server runs: every write is refused, since it \
                         would be lost. Put the very same files back (`mv`), or stop the server, restore a backup and start \
                         it again"
                    );
                }
                Err(StoreError::unavailable(Displaced(file.clone())))
            }
        }
    }
}

fn identity(file: &Path) -> std::io::Result<(u64, u64)> {
    let found = std::fs::metadata(file)?;
    Ok((found.dev(), found.ino()))
}

/// A file of the database is not the one that is open.
#[derive(Debug)]
struct Displaced(PathBuf);

impl fmt::Display for Displaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` was removed or replaced while it was open", self.0.display())
    }
}

impl std::error::Error for Displaced {}
