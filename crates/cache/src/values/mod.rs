//! Cached values: cache-aside with one load for all who ask, and forgetting that can be relied on.

mod cache;
mod cached;
mod changing;
mod flight;
mod key;
mod ledger;
mod local;
mod plan;
mod popularity;
#[cfg(feature = "redis")]
mod remote;
#[cfg(feature = "redis")]
mod shared;
mod stats;
#[cfg(feature = "redis")]
mod undelivered;
mod write_behind;

pub use cache::Cache;
pub use cached::{Cached, MOST_PREFETCHED, Unanswered};
pub use changing::Changing;
pub use key::{Key, MOST_KEY_BYTES, MOST_KEY_PARTS, Tag, Target};
pub use ledger::HOLD;
pub use plan::{Codec, Json, MOST_KEPT, MOST_TAGS, Plan, PlanError, Raw};
pub use stats::{Hot, PlanStats, Stats};
pub use write_behind::{NotAdded, WriteBehind};
