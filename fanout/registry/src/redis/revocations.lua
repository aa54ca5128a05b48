-- All revocations that hold at a time. KEYS as in put_revocation.lua. ARGV: the time, in seconds.
-- Answers {key, until, not before} for each.
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'WITHSCORES')
local all = {}
for place = 1, #found, 2 do
  all[#all + 1] = {found[place], found[place + 1], redis.call('HGET', KEYS[2], found[place]) or '0'}
end
return all
