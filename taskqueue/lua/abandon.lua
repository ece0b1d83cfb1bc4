-- A worker ends by a failure of its own (its engine died): it is lost from now on, and its leases lapse. The next look judges its turns.
local worker = ARGV[1]
local held = redis.call('SMEMBERS', key('held:', worker))
redis.call('ZREM', key('workers'), worker)
redis.call('DEL', key('worker:', worker))
for _, turn in ipairs(held) do redis.call('ZADD', key('leases'), 'XX', now, turn) end
return #held
