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
        concat!(
            "INSERT INTO ", $table, " (", $key, $(", ", $keys,)* $(", ", $column,)* $(", ", $new,)*
            ", guard) VALUES (?",
            $($crate::upsert::upsert!(@mark $keys),)*
            $($crate::upsert::upsert!(@mark $column),)*
            $($crate::upsert::upsert!(@mark $new),)*
            ", ?) ON CONFLICT (", $key, $(", ", $keys,)* ") DO UPDATE SET ",
            $($column, " = excluded.", $column, ", ",)*
            "guard = excluded.guard WHERE ", $table, ".guard < excluded.guard"
        )
    };
    (@mark $column:literal) => { ", ?" };
}

pub(crate) use upsert;

#[cfg(test)]
mod tests {
    #[test]
    fn an_upsert_assigns_the_guard_last_and_only_to_what_it_outranks() {
        assert_eq!(
            upsert!("roles" ["guild_id", "id"] ["body"]),
            "INSERT INTO roles (guild_id, id, body, guard) VALUES (?, ?, ?, ?) \
             ON CONFLICT (guild_id, id) DO UPDATE SET body = excluded.body, \
             guard = excluded.guard WHERE roles.guard < excluded.guard"
        );
    }

    #[test]
    fn what_only_a_new_row_takes_is_inserted_and_never_assigned() {
        assert_eq!(
            upsert!("roles" ["id"] ["body"] new ["colour"]),
            "INSERT INTO roles (id, body, colour, guard) VALUES (?, ?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET body = excluded.body, \
             guard = excluded.guard WHERE roles.guard < excluded.guard"
        );
    }
}
