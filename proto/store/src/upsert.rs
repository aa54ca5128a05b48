//! The one form of an upsert: a row is made, or replaced by an event that outranks it.
//!
//! Written once for all tables, so that a database that spells it differently differs here alone.

/// `upsert!("table" ["key", ..] ["column", ..] new ["column", ..])`: the statement that takes the keys, the columns,
/// those that only a new row takes, and the guard, in this order. It changes nothing where the row's guard is
/// as high or higher.
macro_rules! upsert {
    ($table:literal [$($key:literal),+] [$($column:literal),*]) => {
        $crate::upsert::upsert!($table [$($key),+] [$($column),*] new [])
    };
    ($table:literal [$key:literal $(, $keys:literal)*] [$($column:literal),*] new [$($new:literal),*]) => {
        $crate::database::Statement {
            sqlite: $crate::upsert::upsert!(@on_conflict $table [$key $(, $keys)*] [$($column),*] new [$($new),*]),
            postgres: $crate::upsert::upsert!(@on_conflict $table [$key $(, $keys)*] [$($column),*] new [$($new),*]),
            // MySQL assigns from left to right and compares with what is assigned already: the guard is last.
            mysql: concat!(
                $crate::upsert::upsert!(@insert $table [$key $(, $keys)*] [$($column,)* $($new,)*]),
                " ON DUPLICATE KEY UPDATE ",
                $($column, " = IF(guard < VALUES(guard), VALUES(", $column, "), ", $column, "), ",)*
                "guard = GREATEST(guard, VALUES(guard))"
            ),
        }
    };
    (@on_conflict $table:literal [$key:literal $(, $keys:literal)*] [$($column:literal),*] new [$($new:literal),*]) => {
        concat!(
            $crate::upsert::upsert!(@insert $table [$key $(, $keys)*] [$($column,)* $($new,)*]),
            " ON CONFLICT (", $key, $(", ", $keys,)* ") DO UPDATE SET ",
            $($column, " = excluded.", $column, ", ",)*
            "guard = excluded.guard WHERE ", $table, ".guard < excluded.guard"
        )
    };
    (@insert $table:literal [$key:literal $(, $keys:literal)*] [$($column:literal,)*]) => {
        concat!(
            "INSERT INTO ", $table, " (", $key, $(", ", $keys,)* $(", ", $column,)* ", guard) VALUES (?",
            $($crate::upsert::upsert!(@mark $keys),)*
            $($crate::upsert::upsert!(@mark $column),)*
            ", ?)"
        )
    };
    (@mark $column:literal) => { ", ?" };
}

pub(crate) use upsert;

#[cfg(test)]
mod tests {
    use crate::database::Statement;

    #[test]
    fn an_upsert_assigns_the_guard_last_and_only_to_what_it_outranks() {
        let statement: Statement = upsert!("roles" ["guild_id", "id"] ["body"]);
        assert_eq!(
            statement.sqlite,
            "INSERT INTO roles (guild_id, id, body, guard) VALUES (?, ?, ?, ?) \
             ON CONFLICT (guild_id, id) DO UPDATE SET body = excluded.body, \
             guard = excluded.guard WHERE roles.guard < excluded.guard"
        );
        assert_eq!(
            statement.mysql,
            "INSERT INTO roles (guild_id, id, body, guard) VALUES (?, ?, ?, ?) \
             ON DUPLICATE KEY UPDATE body = IF(guard < VALUES(guard), VALUES(body), body), \
             guard = GREATEST(guard, VALUES(guard))"
        );
        assert_eq!(statement.postgres, statement.sqlite);
    }

    #[test]
    fn what_only_a_new_row_takes_is_inserted_and_never_assigned() {
        let statement: Statement = upsert!("roles" ["id"] ["body"] new ["colour"]);
        for text in [statement.sqlite, statement.mysql] {
            let inserted = "INSERT INTO roles (id, body, colour, guard) VALUES (?, ?, ?, ?) ON ";
            let assigned = text.strip_prefix(inserted).unwrap();
            assert!(!assigned.contains("colour"), "{text}");
        }
    }
}
