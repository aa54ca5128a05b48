//! The SQL server of a world: MariaDB or PostgreSQL, with one database.

use crate::mariadb_server::MariaDb;
use crate::postgres_server::Postgres;

/// The database of a world.
const DATABASE: &str = "world";

/// A running server.
#[derive(Debug)]
pub(crate) enum Sql {
    MariaDb(MariaDb),
    Postgres(Postgres),
}

impl Sql {
    /// What the services are told.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::MariaDb(server) => server.url(DATABASE),
            Self::Postgres(server) => server.url(DATABASE),
        }
    }

    /// Runs statements in the database: what the last one answers.
    pub(crate) fn ask(&self, statements: &str) -> String {
        match self {
            Self::MariaDb(server) => server.ask(&format!("USE {DATABASE}; {statements}")),
            Self::Postgres(server) => server.ask(DATABASE, statements),
        }
    }
}
