//! What each service of ours starts with: its settings, its logs, its life and death, its health.
//!
//! Knows nothing of Discord, of the broker or of SQL.

pub mod health;
pub mod http;
pub mod lifecycle;
pub mod settings;
pub mod start;
pub mod telemetry;
pub mod time;

pub use health::{Check, Health};
pub use lifecycle::Lifecycle;
pub use settings::{Settings, SettingsError};
