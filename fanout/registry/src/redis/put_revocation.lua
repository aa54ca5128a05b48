-- Adds a revocation; of two of one key the later times hold. KEYS[1]: keys by the time until which they are void.
-- KEYS[2]: before which time what was issued is void, by key. ARGV: the key, until, not before; in seconds.
local now = tonumber(redis.call('TIME')[1])
-- At most so many go with each that comes: no call takes long.
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[1], ended)
  redis.call('HDEL', KEYS[2], ended)
end
local known = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or ARGV[2])
redis.call('ZADD', KEYS[1], string.format('%.0f', math.max(known, tonumber(ARGV[2]))), ARGV[1])
local before = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0)
if tonumber(ARGV[3]) > before then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('EXPIREAT', KEYS[1], last[2])
redis.call('EXPIREAT', KEYS[2], last[2])
return 1
