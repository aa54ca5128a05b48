-- Begins a session. KEYS[1]: its owner and value. ARGV: the owner, the window (milliseconds), the value.
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'value', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
