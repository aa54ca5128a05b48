//! The position: everything up to this sequence of the stream is in the tables.
//!
//! It moves in the transaction that writes the rows, by compare-and-set. So an event is applied once and in
//! order, whoever replays what: the fence against a second archive and the reason why removed rows need no
//! memory of their removal.

use crate::database::{Connection, query};
use crate::error::StoreError;

/// A place in the stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// The stream's generation, a hash of its creation; 0 before the first.
    pub generation: u64,
    /// The last sequence that is included; 0 at the beginning.
    pub sequence: u64,
}

pub(crate) async fn read(connection: &mut Connection) -> Result<Position, StoreError> {
    let (generation, sequence): (i64, i64) =
        query("SELECT generation, sequence FROM archive_position")
            .fetch_one(connection)
            .await?;
    Ok(Position {
        generation: generation.cast_unsigned(),
        sequence: sequence.cast_unsigned(),
    })
}

/// Gives a generation that is not the present one the next number, and starts it at 0.
pub(crate) async fn begin_generation(
    connection: &mut Connection,
    generation: u64,
) -> Result<(), StoreError> {
    let generation = generation.cast_signed();
    query(
        "UPDATE archive_position SET number = number + 1, sequence = 0, generation = ? \
         WHERE generation <> ?",
    )
    .bind(generation)
    .bind(generation)
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets the position back, under the next number: sequences are given a second time, and what they bring must
/// outrank what the first ones left.
pub(crate) async fn rewind(
    connection: &mut Connection,
    generation: u64,
    to: u64,
) -> Result<(), StoreError> {
    query(
        "UPDATE archive_position SET number = number + 1, sequence = ? \
         WHERE generation = ? AND sequence > ?",
    )
    .bind(to.cast_signed())
    .bind(generation.cast_signed())
    .bind(to.cast_signed())
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves the position from `from` to the sequence `to`, and tells its generation's number.
pub(crate) async fn advance(
    connection: &mut Connection,
    from: Position,
    to: u64,
) -> Result<i64, StoreError> {
    let moved =
        query("UPDATE archive_position SET sequence = ? WHERE sequence = ? AND generation = ?")
            .bind(to.cast_signed())
            .bind(from.sequence.cast_signed())
            .bind(from.generation.cast_signed())
            .execute(&mut *connection)
            .await?;
    if moved == 0 {
        return Err(StoreError::AnotherArchive);
    }
    let (number,) = query("SELECT number FROM archive_position")
        .fetch_one(connection)
        .await?;
    Ok(number)
}
