-- Keeps a session for another window, if it is still this owner's. KEYS[1] as in save_session.lua.
-- ARGV: the owner, the window (milliseconds) and, if it is to be kept, a new value.
-- Answers 1: kept, 0: another's, -1: forgotten, and no value to keep.
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner and owner ~= ARGV[1] then
  return 0
end
if ARGV[3] then
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'value', ARGV[3])
elseif not owner then
  return -1
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
