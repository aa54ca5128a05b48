//! The store's contract, one suite for every home it has.
//!
//! The tests speak through the public interface alone; what a home adds is one constructor in `home.rs` and
//! one line in `on_every_home`. What is SQLite's own is tested in `tests/sqlite.rs`.

/// Runs these tests on every home, each with a database of its own.
macro_rules! on_every_home {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(&crate::home::Home::sqlite()).await;
                }
            )+
        }
        mod mariadb {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(&crate::home::Home::mariadb()).await;
                }
            )+
        }
    };
}

#[cfg(test)]
mod archive;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod events;
#[cfg(test)]
mod fold;
#[cfg(test)]
mod history;
#[cfg(test)]
mod home;
#[cfg(test)]
mod mariadb;
#[cfg(test)]
mod mariadb_server;
#[cfg(test)]
mod reactions;
#[cfg(test)]
mod revocations;
