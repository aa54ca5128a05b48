-- A message's reactions as they are now, the protobuf message `ReactionsChanged`; NULL before the first.
-- `reactions_guard` names the event that they come from, as `guard` does for the rest of the row.
ALTER TABLE messages
    ADD COLUMN reactions BYTEA,
    ADD COLUMN reactions_guard BIGINT NOT NULL DEFAULT 0;

-- What is revoked: a token, or a user's tokens that were issued before `not_before_ms` (the highest number
-- there is means all of them). A row counts until `until_ms`, when no such token is valid anyway.
CREATE TABLE revocations (
    revoked BYTEA PRIMARY KEY,
    until_ms BIGINT NOT NULL,
    not_before_ms BIGINT NOT NULL
);

-- The guilds that a user's last login listed: ids, joined by commas.
CREATE TABLE login_guilds (
    user_id BIGINT PRIMARY KEY,
    guilds TEXT NOT NULL,
    at_ms BIGINT NOT NULL
);
