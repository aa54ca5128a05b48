//! What each service of ours starts with: its settings, its logs, its traces, its metrics, its life and death,
//! its health.
//!
//! Knows nothing of Discord, of the broker or of SQL; of the contract the trace's header alone.

pub mod health;
pub mod http;
pub mod lifecycle;
pub mod metrics;
pub mod settings;
pub mod start;
pub mod telemetry;
pub mod time;
pub mod traces;

pub use health::{Check, Health};
pub use lifecycle::Lifecycle;
pub use metrics::Metrics;
pub use settings::{Settings, SettingsError};
pub use traces::Traces;
