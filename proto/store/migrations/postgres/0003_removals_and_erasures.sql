-- Channels whose messages are on their way out: the channel was deleted, or its guild left, at the event that `guard`
-- names. What came later stays: a guild may be joined again. The row goes when no older message is left.
CREATE TABLE removals (
    channel_id BIGINT PRIMARY KEY,
    guard BIGINT NOT NULL
);

-- Who was erased on request: nothing that they write from then on is mirrored.
CREATE TABLE erased_users (
    user_id BIGINT PRIMARY KEY,
    at_ms BIGINT NOT NULL
);
