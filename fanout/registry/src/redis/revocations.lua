-- A page of all revocations, in no order; one may come twice. KEYS as in put_revocation.lua.
-- ARGV: where the page begins, about how many it holds. Answers {where the next begins, {key, until, not before}...};
-- the last page says that the next begins at 0.
local page = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local found = {}
for place = 1, #page[2], 2 do
  local key = page[2][place]
  found[#found + 1] = {key, page[2][place + 1], redis.call('HGET', KEYS[2], key) or '0'}
end
return {page[1], found}
