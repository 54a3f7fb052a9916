use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A folder of our own under the system's temporary one. Dropped, it is removed, unless it is kept as evidence.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    is_kept: bool,
}

impl Scratch {
    /// Makes an empty one. Its path is short, since a socket's path holds 107 bytes.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(purpose: &str) -> Result<Self> {
        let number = RandomState::new().build_hasher().finish() & 0xffff_ffff;
        let path = std::env::temp_dir().join(format!("mainstay-{purpose}-{}-{number:08x}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path, is_kept: false })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it for a person to look at, and prints where it is.
    pub fn keep(&mut self) {
        self.is_kept = true;
        println!("kept for a look: {}", self.path.display());
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            eprintln!("could not remove {}: {error}", self.path.display());
        }
    }
}
