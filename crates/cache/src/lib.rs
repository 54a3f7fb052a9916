#![doc = include_str!("../README.md")]

mod backend;
mod bus;
mod error;
mod limit;
#[cfg(feature = "redis")]
mod redis;
mod settings;
mod space;
mod values;

pub use backend::{Asked, Backend, Facts};
pub use bus::{Bus, Heard};
pub use error::{OpenError, Unavailable};
pub use limit::{Limiter, WhenUnavailable};
pub use settings::CacheSettings;
pub use space::KeySpace;
pub use values::{
    Cache, CacheConfig, CacheConfigError, Cached, Codec, ConfigStats, HOLD, Hot, InvalidationGuard, Json, Key,
    MOST_KEPT, MOST_KEY_BYTES, MOST_KEY_PARTS, MOST_PREFETCHED, MOST_TAGS, NotAdded, Raw, Stats, Tag, Target,
    Unanswered, WriteBehind,
};
