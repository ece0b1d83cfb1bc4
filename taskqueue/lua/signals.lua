-- Demand and fleet of a pool in one read.
local keep = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', key('workers'), '-inf', now - keep)
local oldest = redis.call('ZRANGE', key('arrivals'), 0, 0, 'WITHSCORES')[2]
-- What waits for a turn of its own tenant to end is no work that another worker could do.
local held_back, by_keys = 0, {}
local limits = redis.call('HGETALL', key('max_running'))

local function over(owner, waiting, limit)
  return math.max(0, waiting - math.max(0, limit - redis.call('SCARD', key('running:', owner))))
end

local tenants = {}
for i = 1, #limits, 2 do
  local owner, limit, waiting = limits[i], tonumber(limits[i + 1]), redis.call('ZCARD', key('wait:', limits[i]))
  if waiting > 0 then
    local first = string.sub(redis.call('ZRANGE', key('wait:', owner), 0, 0)[1], ORDER_CHARS + 1)
    local whose = redis.call('HMGET', key('turn:', first), 'tenant', 'key')
    if whose[2] == owner then
      by_keys[whose[1]] = (by_keys[whose[1]] or 0) + over(owner, waiting, limit)
    else
      table.insert(tenants, { owner, waiting, limit })
    end
  end
end
for _, back in pairs(by_keys) do held_back = held_back + back end
for _, t in ipairs(tenants) do held_back = held_back + over(t[1], t[2] - (by_keys[t[1]] or 0), t[3]) end
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
