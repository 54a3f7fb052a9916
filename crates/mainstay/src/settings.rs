//! Settings: defaults, then a file, then the environment, then flags; read once, by `server`, and handed in. A key that
//! nobody knows is an error, and each message says what to do.

mod core;
mod environment;
mod guessable;
mod layers;
mod public_url;
mod section;
pub(crate) mod shown;
mod whole;

pub use self::core::{Core, LogFormat, LogSettings, Mode};
pub use environment::{Ignored, WhyIgnored};
pub use layers::{Origin, PREFIX, SettingsBuilder, SettingsError};
pub use section::{Section, SettingsOf};
pub use whole::Settings;
