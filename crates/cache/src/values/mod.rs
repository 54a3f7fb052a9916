//! Cached values: cache-aside with one load for all who ask, and forgetting that can be relied on.

mod cache;
mod cache_config;
mod cache_state;
mod cached;
mod frequency_sketch;
mod generations;
mod invalidation_guard;
mod key;
mod local;
#[cfg(feature = "redis")]
mod pending_invalidations;
#[cfg(feature = "redis")]
mod redis_values;
mod single_flight;
mod stats;
mod write_behind;

pub use cache::Cache;
pub use cache_config::{CacheConfig, CacheConfigError, Codec, Json, MOST_KEPT, MOST_TAGS, Raw};
pub use cached::{Cached, MOST_PREFETCHED, Unanswered};
pub use generations::HOLD;
pub use invalidation_guard::InvalidationGuard;
pub use key::{Key, MOST_KEY_BYTES, MOST_KEY_PARTS, Tag, Target};
pub use stats::{ConfigStats, Hot, Stats};
pub use write_behind::{NotAdded, WriteBehind};
