-- A worker is alive: all its leases are extended, its status is published, and it learns what to stop.
local worker, lease, status, keep = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])

redis.call('ZADD', key('workers'), now, worker)
redis.call('SET', key('worker:', worker), status, 'PX', keep)
for _, turn in ipairs(redis.call('SMEMBERS', key('held:', worker))) do
  redis.call('ZADD', key('leases'), 'XX', now + lease, turn)
end
local stops = {}
local asked = redis.call('HGETALL', key('stop:', worker))
for i = 1, #asked, 2 do table.insert(stops, { asked[i], asked[i + 1] }) end
return stops
