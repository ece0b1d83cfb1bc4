-- Demand and fleet of a pool in one read.
local keep = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', key('workers'), '-inf', now - keep)
local oldest = redis.call('ZRANGE', key('arrivals'), 0, 0, 'WITHSCORES')[2]
-- What waits for a turn of its own tenant to end is no work that another worker could do.
local held_back = 0
local limits = redis.call('HGETALL', key('max_running'))
for i = 1, #limits, 2 do
  local room = math.max(0, tonumber(limits[i + 1]) - redis.call('SCARD', key('running:', limits[i])))
  local waiting = redis.call('ZCARD', key('wait:', limits[i])) + redis.call('ZCARD', key('apart:', limits[i]))
  held_back = held_back + math.max(0, waiting - room)
end
local answer = { now, redis.call('ZCARD', key('arrivals')), held_back, redis.call('ZCARD', key('leases')),
  oldest and (now - number(oldest)) or 0 }
for _, worker in ipairs(redis.call('ZRANGE', key('workers'), 0, -1)) do
  local status = redis.call('GET', key('worker:', worker))
  if status then
    table.insert(answer, tonumber(redis.call('ZSCORE', key('workers'), worker)))
    table.insert(answer, status)
  end
end
return answer
