-- Ends a session, if it is this owner's. KEYS[1] as in save_session.lua. ARGV: the owner.
if redis.call('HGET', KEYS[1], 'owner') == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
