-- A worker takes up to n turns: each time from the active tenant with the lowest service counter. A suspect comes when its tenant does,
-- but a worker gets one at most; one that runs alone gets a worker that holds nothing else, and one worker of the pool at a time is
-- alone, or clears itself for that: so suspects never hold all workers.
local worker, slots, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local claimed = {}

local function take(t)
  hold(t)
  take_out_of_line(t)
  settle(t, math.max(t.estimate, t.charged))
  place(t.tenant)
  t.attempt, t.seq = t.attempt + 1, t.seq + 1
  append(t.task, t.seq, 'state', string.format('{"state":"running","attempt":%d}', t.attempt))
  if t.attempt > 1 then
    t.seq = t.seq + 1
    append(t.task, t.seq, 'attempt', string.format('{"attempt":%d,"reason":"%s"}', t.attempt, t.reason or 'worker_lost'))
  end
  redis.call('HSET', key('turn:', t.id), 'state', 'running', 'worker', worker, 'attempt', t.attempt, 'seq', t.seq,
    'charged', t.charged, 'claimed', now)
  redis.call('ZADD', key('leases'), now + lease, t.id)
  redis.call('SADD', key('held:', worker), t.id)
  redis.call('XADD', key('record'), '*', 'r',
    cmsgpack.pack({ kind = 'claimed', turn = t.id, task = t.task, attempt = t.attempt, worker = worker }))
  table.insert(claimed, { t.id, t.task, t.tenant, t.attempt, t.seq, t.arrival, t.deadline,
    redis.call('HGET', key('turn:', t.id), 'body'), t.attempt > 1 and streamed(t) or '', t.first })
end

local function holds_nothing() return redis.call('EXISTS', key('held:', worker)) == 0 end

local function another_stands_apart()
  local wards = redis.call('HGETALL', key('wards'))
  for i = 1, #wards, 2 do
    if wards[i + 1] ~= 'together' and wards[i] ~= worker then return true end
  end
  return false
end

local LOOKED_AT = 16 -- suspects of a tenant; those behind wait until a key at its limit has let some of these run

-- The first suspect of a tenant whose API key may run one more.
local function first_suspect(tenant)
  for _, member in ipairs(redis.call('ZRANGE', key('apart:', tenant), 0, LOOKED_AT - 1)) do
    local t = load(string.sub(member, ORDER_CHARS + 1))
    if not t then -- cannot be, unless keys were deleted by hand
      redis.call('ZREM', key('apart:', tenant), member)
    elseif t.key == '' or may_run(t.key) then
      return t
    end
  end
end

-- The suspect that comes next, of the tenant that was served least; it comes before the active ones if it is not behind `lowest`.
local function next_suspect(lowest)
  local best, least
  for _, tenant in ipairs(redis.call('SMEMBERS', key('apart'))) do
    local service = number(redis.call('HGET', key('service'), tenant))
    if (not lowest or service <= tonumber(lowest)) and (not least or service < least) and may_run(tenant) then
      local t = first_suspect(tenant)
      if t and (t.apart == TOGETHER or not another_stands_apart()) then
        best, least = t, service
      end
    end
  end
  return best
end

-- What this worker is to suspects: false (there are none anywhere), `none`, or as `wards` says: `together`, `alone`, `clearing`.
local ward = redis.call('EXISTS', key('apart'), key('wards')) > 0 and (redis.call('HGET', key('wards'), worker) or 'none')
if ward == 'alone' then return claimed end
local due = ward == 'clearing' -- it has cleared itself: its suspect comes now, whoever is served least
if due then
  if redis.call('EXISTS', key('apart')) == 1 and not holds_nothing() then return claimed end
  redis.call('HDEL', key('wards'), worker)
  ward = 'none'
end

while #claimed < slots do
  local tenant = redis.call('ZRANGE', key('active'), 0, 0)[1]
  local suspect = ward == 'none' and next_suspect(not due and tenant and redis.call('ZSCORE', key('active'), tenant))
  due = false
  if suspect and suspect.deadline > 0 and suspect.deadline <= now then
    conclude_here(suspect, 'expired')
  elseif suspect and suspect.apart == ALONE and not holds_nothing() then
    redis.call('HSET', key('wards'), worker, 'clearing')
    break
  elseif suspect then
    ward = suspect.apart == ALONE and 'alone' or 'together'
    redis.call('HSET', key('wards'), worker, ward)
    join(suspect.tenant) -- a claim at the lowest counter, as of any tenant that waits
    take(suspect)
    if ward == 'alone' then break end
  elseif not tenant then
    if redis.call('EXISTS', key('apart')) == 0 then redis.call('DEL', key('bell')) end
    break
  else
    local first = redis.call('ZRANGE', key('wait:', tenant), 0, 0)[1]
    local t = first and load(string.sub(first, ORDER_CHARS + 1))
    if not t then -- cannot be, unless keys were deleted by hand: never loop on it
      if first then redis.call('ZREM', key('wait:', tenant), first) end
      place(tenant)
    elseif t.deadline > 0 and t.deadline <= now then
      conclude_here(t, 'expired')
    else
      take(t)
    end
  end
end
post()
return claimed
