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
pub use error::{Away, OpenError};
pub use limit::{Limiter, WhenAway};
pub use settings::CacheSettings;
pub use space::KeySpace;
pub use values::{
    Cache, Cached, Changing, Codec, HOLD, Hot, Json, Key, MOST_KEPT, MOST_KEY_BYTES, MOST_KEY_PARTS, MOST_PREFETCHED,
    MOST_TAGS, NotAdded, Plan, PlanError, PlanStats, Raw, Stats, Tag, Target, Unanswered, WriteBehind,
};
