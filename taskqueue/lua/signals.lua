-- Demand and fleet of a pool in one read.
local keep = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', key('workers'), '-inf', now - keep)
local oldest = redis.call('ZRANGE', key('arrivals'), 0, 0, 'WITHSCORES')[2]
local answer = { now, redis.call('ZCARD', key('arrivals')), redis.call('ZCARD', key('leases')),
  oldest and (now - number(oldest)) or 0 }
for _, worker in ipairs(redis.call('ZRANGE', key('workers'), 0, -1)) do
  local status = redis.call('GET', key('worker:', worker))
  if status then
    table.insert(answer, tonumber(redis.call('ZSCORE', key('workers'), worker)))
    table.insert(answer, status)
  end
end
return answer
