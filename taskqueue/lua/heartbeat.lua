-- A worker is alive: the leases of the turns it names are extended, its status is published, and it learns what to stop.
-- A turn whose claim's answer was lost on the way is named by nobody: its lease lapses.
local worker, lease, status, keep = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])

redis.call('ZADD', key('workers'), now, worker)
redis.call('SET', key('worker:', worker), status, 'PX', keep)
local stops = {}
for i = 5, #ARGV do
  if redis.call('SISMEMBER', key('held:', worker), ARGV[i]) == 1 then
    redis.call('ZADD', key('leases'), 'XX', now + lease, ARGV[i])
  else
    table.insert(stops, { ARGV[i], 'lost' })
  end
end
local asked = redis.call('HGETALL', key('stop:', worker))
for i = 1, #asked, 2 do table.insert(stops, { asked[i], asked[i + 1] }) end
return stops
