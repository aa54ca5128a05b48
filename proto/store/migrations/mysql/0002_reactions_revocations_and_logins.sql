-- A message's reactions as they are now, the protobuf message `ReactionsChanged`; NULL before the first.
-- `reactions_guard` names the event that they come from, as `guard` does for the rest of the row.
-- MySQL has no ADD COLUMN IF NOT EXISTS, and this file may be cut between two statements.
SET @change = (
    SELECT IF(
        COUNT(*) = 0,
        'ALTER TABLE messages ADD COLUMN reactions MEDIUMBLOB, ADD COLUMN reactions_guard BIGINT NOT NULL DEFAULT 0',
        'DO 0'
    )
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'messages' AND column_name = 'reactions'
);
PREPARE change_messages FROM @change;
EXECUTE change_messages;
DEALLOCATE PREPARE change_messages;

-- What is revoked: a token, or a user's tokens that were issued before `not_before_ms` (the highest number
-- there is means all of them). A row counts until `until_ms`, when no such token is valid anyway.
CREATE TABLE IF NOT EXISTS revocations (
    revoked VARBINARY(512) NOT NULL PRIMARY KEY,
    until_ms BIGINT NOT NULL,
    not_before_ms BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 ROW_FORMAT = DYNAMIC;

-- The guilds that a user's last login listed: ids, joined by commas.
CREATE TABLE IF NOT EXISTS login_guilds (
    user_id BIGINT NOT NULL PRIMARY KEY,
    guilds TEXT NOT NULL,
    at_ms BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 ROW_FORMAT = DYNAMIC;
