-- Message history and the directory, and how far into the stream both are complete.
-- Ids are Discord's snowflakes, times are milliseconds since 1970. `guard` names the event that a row was
-- last written by: the stream's generation number times 2^48, plus its sequence in the stream.
-- `body` is the protobuf message of schema/discord/v1 that the row stands for.
-- A migration may be cut between two statements: each does no harm the second time.

-- One row, for ever: everything up to `sequence` of the stream `generation` is in these tables.
CREATE TABLE IF NOT EXISTS archive_position (
    id BIGINT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    sequence BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

INSERT INTO archive_position (id, number, generation, sequence) VALUES (1, 0, 0, 0)
    ON DUPLICATE KEY UPDATE id = id;

-- A deleted message stays as a tombstone: no body, no author, the highest guard there is, and for
-- `timestamp_ms` the time at which its deletion was heard of.
-- A page reads the living alone, however many of a channel's messages were purged.
CREATE TABLE IF NOT EXISTS messages (
    id BIGINT NOT NULL PRIMARY KEY,
    channel_id BIGINT NOT NULL,
    guild_id BIGINT NOT NULL,
    author_id BIGINT NOT NULL,
    timestamp_ms BIGINT NOT NULL,
    edited_timestamp_ms BIGINT,
    deleted BIGINT NOT NULL,
    body MEDIUMBLOB,
    guard BIGINT NOT NULL,
    KEY messages_page (channel_id, deleted, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 ROW_FORMAT = DYNAMIC;

CREATE TABLE IF NOT EXISTS guilds (
    id BIGINT NOT NULL PRIMARY KEY,
    body MEDIUMBLOB NOT NULL,
    guard BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 ROW_FORMAT = DYNAMIC;

CREATE TABLE IF NOT EXISTS roles (
    guild_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    body MEDIUMBLOB NOT NULL,
    guard BIGINT NOT NULL,
    PRIMARY KEY (guild_id, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 ROW_FORMAT = DYNAMIC;

-- `parent_id` is 0 where there is none; `kind` is Discord's channel type.
CREATE TABLE IF NOT EXISTS channels (
    guild_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    parent_id BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    body MEDIUMBLOB NOT NULL,
    guard BIGINT NOT NULL,
    PRIMARY KEY (guild_id, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 ROW_FORMAT = DYNAMIC;

CREATE TABLE IF NOT EXISTS members (
    guild_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    body MEDIUMBLOB NOT NULL,
    guard BIGINT NOT NULL,
    PRIMARY KEY (guild_id, user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 ROW_FORMAT = DYNAMIC;

-- A guild's snapshot on its way: its beginning and the parts that have come, until its end has.
CREATE TABLE IF NOT EXISTS snapshots (
    guild_id BIGINT NOT NULL PRIMARY KEY,
    body MEDIUMBLOB NOT NULL,
    guard BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 ROW_FORMAT = DYNAMIC;

CREATE TABLE IF NOT EXISTS snapshot_parts (
    guild_id BIGINT NOT NULL,
    guard BIGINT NOT NULL,
    body MEDIUMBLOB NOT NULL,
    PRIMARY KEY (guild_id, guard)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 ROW_FORMAT = DYNAMIC;
