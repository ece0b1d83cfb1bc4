-- Demand and fleet of a pool in one read. Nothing here is counted turn by turn.
local keep = tonumber(ARGV[1])
redis.call('ZREMRANGEBYSCORE', key('workers'), '-inf', now - keep)
local oldest = redis.call('ZRANGE', key('arrivals'), 0, 0, 'WITHSCORES')[2]
-- What waits for a turn of its own tenant or API key to end is no work that another worker could do.
local function over(owner, waiting, limit)
  return math.max(0, waiting - math.max(0, limit - redis.call('SCARD', key('running:', owner))))
end

local held_back, by_keys, tenants = 0, {}, {} -- by_keys: tenant -> turns that its keys hold back
local limited = redis.call('HGETALL', key('max_running'))
for i = 1, #limited, 2 do
  local owner, limit, t = limited[i], tonumber(limited[i + 1]), first_of(limited[i])
  if t then
    local waiting = redis.call('ZCARD', key('wait:', owner)) + redis.call('ZCARD', key('apart:', owner))
    if t.key == owner then
      local back = over(owner, waiting, limit)
      held_back, by_keys[t.tenant] = held_back + back, (by_keys[t.tenant] or 0) + back
    else
      table.insert(tenants, { owner, waiting, limit })
    end
  end
end
for _, t in ipairs(tenants) do held_back = held_back + over(t[1], t[2] - (by_keys[t[1]] or 0), t[3]) end
local sums = redis.call('HMGET', key('tally'), 'waiting_tokens', 'arrived', 'arrived_tokens')
if not oldest and number(sums[1]) ~= 0 then -- cannot be, unless keys were deleted by hand
  redis.call('HDEL', key('tally'), 'waiting_tokens')
  sums[1] = 0
end
local first = redis.call('XRANGE', key('record'), '-', '+', 'COUNT', 1)[1] -- its id begins with its moment
local answer = { now, redis.call('ZCARD', key('arrivals')), held_back, redis.call('ZCARD', key('leases')),
  oldest and (now - number(oldest)) or 0, number(sums[1]), number(sums[2]), number(sums[3]),
  redis.call('XLEN', key('record')), first and (now - number(string.match(first[1], '^%d+'))) or 0,
  redis.call('PTTL', key('outlook')) }
local workers = redis.call('ZRANGE', key('workers'), 0, -1, 'WITHSCORES')
for i = 1, #workers, 2 do
  local status = redis.call('GET', key('worker:', workers[i]))
  if status then
    table.insert(answer, tonumber(workers[i + 1]))
    table.insert(answer, status)
  end
end
return answer
