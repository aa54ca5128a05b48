-- Channels whose messages of before anybody listened were read from Discord, once for ever: what retention removes
-- since does not come back.
CREATE TABLE filled_channels (
    channel_id BIGINT PRIMARY KEY,
    guild_id BIGINT NOT NULL,
    at_ms BIGINT NOT NULL
);
