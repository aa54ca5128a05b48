-- Gives a slot back. KEYS[1] as in hold.lua. ARGV: the slot.
return redis.call('ZREM', KEYS[1], ARGV[1])
