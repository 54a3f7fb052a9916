use kernel::Random;
use tokio::time::Instant;

use crate::settings::CacheLocation;
use crate::{CacheSettings, KeySpace, OpenError, Unavailable};

/// Where what is more than one node's lies: nowhere, as there is one node, or in a Redis. Cheap to clone; the
/// connection ends with the last clone and whatever was made of it.
#[derive(Clone, Debug)]
pub struct Backend(BackendKind);

#[derive(Clone, Debug)]
enum BackendKind {
    Memory,
    #[cfg(feature = "redis")]
    Redis(crate::redis::ConnectionManager),
}

/// How often Redis was asked, since the backend was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// Questions that were sent.
    pub asked: u64,
    /// Those among them that were not done, or not for certain: refused, too late, or the connection broke.
    pub failed: u64,
    /// Those among the failed that had no answer in time.
    pub timeouts: u64,
}

/// What is to be known of a Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// By which policy it throws away what it was given when it is full; none where it refuses what is new.
    pub evicts: Option<String>,
}

impl Backend {
    /// Opens what the settings name, inside a runtime of tokio, which drives the connection from then on. A Redis that
    /// does not answer is no error: a connection in the log says so, and it is tried again until it does. What lies there is in
    /// `space`, whatever is made of this backend.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub async fn open(settings: &CacheSettings, space: &KeySpace, random: &Random) -> Result<Self, OpenError> {
        settings.validate().map_err(OpenError::Settings)?;
        match settings.place().map_err(OpenError::Settings)? {
            CacheLocation::Memory => Ok(Self::memory()),
            CacheLocation::Redis(url) => Self::redis(url, settings, space, random).await,
        }
    }

    #[cfg(feature = "redis")]
    async fn redis(url: &str, settings: &CacheSettings, space: &KeySpace, random: &Random) -> Result<Self, OpenError> {
        let topology = crate::redis::Topology::new(url).map_err(OpenError::Settings)?;
        let timeout = std::time::Duration::from_millis(settings.timeout_ms);
        Ok(Self(BackendKind::Redis(crate::redis::ConnectionManager::open(topology, space, timeout, random).await)))
    }

    /// The settings were refused before.
    #[cfg(not(feature = "redis"))]
    async fn redis(_: &str, _: &CacheSettings, _: &KeySpace, _: &Random) -> Result<Self, OpenError> {
        Ok(Self::memory())
    }

    /// One node, by itself.
    pub const fn memory() -> Self {
        Self(BackendKind::Memory)
    }

    /// Whether other nodes see what is put there.
    pub const fn is_shared(&self) -> bool {
        !matches!(self.0, BackendKind::Memory)
    }

    /// Whether it answers, as far as is known: memory always does.
    pub fn is_there(&self) -> bool {
        match &self.0 {
            BackendKind::Memory => true,
            #[cfg(feature = "redis")]
            BackendKind::Redis(manager) => manager.is_up(),
        }
    }

    /// How often Redis was asked; zeros in memory.
    pub fn asked(&self) -> Asked {
        match &self.0 {
            BackendKind::Memory => Asked::default(),
            #[cfg(feature = "redis")]
            BackendKind::Redis(manager) => manager.asked(),
        }
    }

    /// What Redis says of itself, for its operator; none in memory.
    ///
    /// # Errors
    /// When it does not answer.
    #[cfg_attr(not(feature = "redis"), expect(clippy::unused_async, reason = "with Redis it waits"))]
    pub async fn facts(&self, until: Instant) -> Result<Option<Facts>, Unavailable> {
        match &self.0 {
            BackendKind::Memory => {
                let _ = until;
                Ok(None)
            }
            #[cfg(feature = "redis")]
            BackendKind::Redis(manager) => {
                let info: String = manager.ask(&::redis::cmd("INFO"), until).await?;
                let value =
                    |name: &str| info.lines().find_map(|connection| connection.strip_prefix(name)?.strip_prefix(':'));
                Ok(Some(Facts {
                    evicts: value("maxmemory_policy").filter(|policy| *policy != "noeviction").map(str::to_owned),
                }))
            }
        }
    }

    /// Lets go of the connection, of every clone. What is asked afterwards is answered as if Redis were away.
    pub async fn close(&self) {
        match &self.0 {
            BackendKind::Memory => {}
            #[cfg(feature = "redis")]
            BackendKind::Redis(manager) => manager.close().await,
        }
    }

    /// The way to Redis, where there is one.
    #[cfg(feature = "redis")]
    pub(crate) const fn manager(&self) -> Option<&crate::redis::ConnectionManager> {
        match &self.0 {
            BackendKind::Memory => None,
            BackendKind::Redis(manager) => Some(manager),
        }
    }
}
