//! The store seam: message history and the directory in SQL, and the position in the stream that both are complete to;
//! beside them what the services tell each other across restarts: revocations, and the guilds of a login.
//!
//! One archive writes ([`Store::apply`], a folded [`Batch`] a transaction, fenced by compare-and-set on the
//! position); everybody reads, in snapshots that name the position they were taken at. What a row means is
//! the same in every database; which database it is, only `database/` knows. It refuses to know who asks
//! and who may see what.

mod batch;
mod database;
mod directory;
mod erasure;
mod error;
mod guard;
mod history;
mod login;
mod position;
mod removal;
mod retention;
mod revocation;
mod store;
mod upsert;

pub use batch::Batch;
pub use directory::{DirectorySnapshot, GuildDirectory};
pub use erasure::{Found, Place, Step, Trail};
pub use error::StoreError;
pub use history::{PAGE_MESSAGES_MAX, Page};
pub use position::Position;
pub use revocation::{REVOCATION_KEY_BYTES_MAX, Revocation};
pub use store::Store;
