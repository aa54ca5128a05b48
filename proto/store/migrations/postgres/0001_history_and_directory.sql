-- Message history and the directory, and how far into the stream both are complete.
-- Ids are Discord's snowflakes, times are milliseconds since 1970. `guard` names the event that a row was
-- last written by: the stream's generation number times 2^48, plus its sequence in the stream.
-- `body` is the protobuf message of schema/discord/v1 that the row stands for.

-- One row, for ever: everything up to `sequence` of the stream `generation` is in these tables.
CREATE TABLE archive_position (
    id BIGINT PRIMARY KEY,
    number BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    sequence BIGINT NOT NULL
);

INSERT INTO archive_position (id, number, generation, sequence) VALUES (1, 0, 0, 0);

-- A deleted message stays as a tombstone: no body, no author, the highest guard there is, and for
-- `timestamp_ms` the time at which its deletion was heard of.
CREATE TABLE messages (
    id BIGINT PRIMARY KEY,
    channel_id BIGINT NOT NULL,
    guild_id BIGINT NOT NULL,
    author_id BIGINT NOT NULL,
    timestamp_ms BIGINT NOT NULL,
    edited_timestamp_ms BIGINT,
    deleted BIGINT NOT NULL,
    body BYTEA,
    guard BIGINT NOT NULL
);

-- A page reads the living alone, however many of a channel's messages were purged.
CREATE INDEX messages_page ON messages (channel_id, deleted, id);

CREATE TABLE guilds (
    id BIGINT PRIMARY KEY,
    body BYTEA NOT NULL,
    guard BIGINT NOT NULL
);

CREATE TABLE roles (
    guild_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    body BYTEA NOT NULL,
    guard BIGINT NOT NULL,
    PRIMARY KEY (guild_id, id)
);

-- `parent_id` is 0 where there is none; `kind` is Discord's channel type.
CREATE TABLE channels (
    guild_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    parent_id BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    body BYTEA NOT NULL,
    guard BIGINT NOT NULL,
    PRIMARY KEY (guild_id, id)
);

CREATE TABLE members (
    guild_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    body BYTEA NOT NULL,
    guard BIGINT NOT NULL,
    PRIMARY KEY (guild_id, user_id)
);

-- A guild's snapshot on its way: its beginning and the parts that have come, until its end has.
CREATE TABLE snapshots (
    guild_id BIGINT PRIMARY KEY,
    body BYTEA NOT NULL,
    guard BIGINT NOT NULL
);

CREATE TABLE snapshot_parts (
    guild_id BIGINT NOT NULL,
    guard BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (guild_id, guard)
);
