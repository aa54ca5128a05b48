-- Makes another the owner of a session that still lives. KEYS[1] as in save_session.lua.
-- ARGV: the new owner, the window (milliseconds). Answers the value, or nothing.
local value = redis.call('HGET', KEYS[1], 'value')
if not value then
  return false
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return value
