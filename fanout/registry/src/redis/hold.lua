-- Takes a slot. KEYS[1]: the slots of one key, by the time in milliseconds at which each is free again.
-- ARGV: the slot, how many there are, how long one is held (milliseconds).
-- Answers how many milliseconds to wait; 0: it is held.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local slot, max, ttl = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], slot) and redis.call('ZCARD', KEYS[1]) >= max then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return math.max(tonumber(first[2] or now + ttl) - now, 1)
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ttl), slot)
redis.call('PEXPIRE', KEYS[1], ttl)
return 0
