-- GCRA, as quota.rs says it. KEYS[1]: the time at which everything spent is paid off.
-- ARGV: the quota's interval and burst, and what the asker knows to be owed; all in microseconds.
-- Answers {1 if allowed, what is owed, how long to wait}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst, known = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local paid = tonumber(redis.call('GET', KEYS[1]) or now)
local debt = math.min(math.max(paid - now, known, 0), burst)
local after = debt + interval
if after > burst then
  return {0, debt, after - burst}
end
-- All digits, whatever the server does with Lua's numbers.
redis.call('SET', KEYS[1], string.format('%.0f', now + after), 'PX', math.ceil(after / 1000))
return {1, after, 0}
