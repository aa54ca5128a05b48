-- Channels whose messages are on their way out: the channel was deleted, or its guild left, at the event that `guard`
-- names. What came later stays: a guild may be joined again. The row goes when no older message is left.
CREATE TABLE IF NOT EXISTS removals (
    channel_id BIGINT NOT NULL PRIMARY KEY,
    guard BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 ROW_FORMAT = DYNAMIC;

-- Who was erased on request: nothing that they write from then on is mirrored.
CREATE TABLE IF NOT EXISTS erased_users (
    user_id BIGINT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 ROW_FORMAT = DYNAMIC;
