//! Settings: defaults, then a file, then the environment, then flags; read once, by `server`, and handed in. A key that
//! nobody knows is an error, and each message says what to do.

mod core;
mod layers;
mod section;
mod whole;

pub use self::core::{Core, LogFormat, LogSettings, Mode};
pub use layers::{Origin, PREFIX, SettingsBuilder, SettingsError};
pub use section::{Section, SettingsOf};
pub use whole::Settings;
