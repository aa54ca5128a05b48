//! The store's contract, one suite for every home it has.
//!
//! The tests speak through the public interface alone; what a home adds is one constructor in `home.rs` and
//! one module in `on_every_home`. Each case names the defect of a double on which it fails (`double.rs`): one
//! that could not fail would prove nothing. What is SQLite's own is tested in `tests/sqlite.rs`.

/// Runs these cases on every home, each with a database of its own, and proves each on its broken double.
macro_rules! on_every_home {
    ($($name:ident fails_on $defect:ident),+ $(,)?) => {
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
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(&crate::home::Home::postgres()).await;
                }
            )+
        }
        mod fails_on_its_broken_double {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let defect = crate::double::Defect::$defect;
                    let case = tokio::spawn(async move {
                        super::$name(&crate::home::Home::broken(defect)).await;
                    });
                    let failed = case.await.expect_err("the case passes on its broken double");
                    assert!(failed.is_panic(), "{failed}");
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
mod double;
#[cfg(test)]
mod erasures;
#[cfg(test)]
mod events;
#[cfg(test)]
mod fill;
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
mod plan;
#[cfg(test)]
#[expect(unreachable_pub, reason = "it is public in the tests' own harness")]
#[path = "../../../../tests/src/port.rs"]
mod port;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod postgres_server;
#[cfg(test)]
mod previews;
#[cfg(test)]
mod reactions;
#[cfg(test)]
mod removals;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod revocations;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod subject;
#[cfg(test)]
mod way;
