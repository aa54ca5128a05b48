-- Channels whose messages of before anybody listened were read from Discord, once for ever: what retention removes
-- since does not come back.
CREATE TABLE IF NOT EXISTS filled_channels (
    channel_id BIGINT NOT NULL PRIMARY KEY,
    guild_id BIGINT NOT NULL,
    at_ms BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 ROW_FORMAT = DYNAMIC;
