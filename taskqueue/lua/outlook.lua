-- Common to the scripts that say how long a turn may wait, after prelude.lua: where it stands, and the arithmetic of the low end of its
-- wait as in taskqueue/outlook.py, which holds the theory.

local Z, REMEMBERED = 1.645, 127
local WINDOW = 10000 -- ms: what came in longer ago hardly counts
local FORGOTTEN = 3600000 -- ms without any turn
local ALL = '' -- beside the tenants' names

local blob = redis.call('GET', key('outlook')) -- false: the orchestrator foretells nothing
local decoded

local function is_outlook(said)
  if type(said) ~= 'table' or type(said.ready or 0) ~= 'number' or type(said.earliest or {}) ~= 'table' then return false end
  for _, step in ipairs(said.earliest or {}) do
    if type(step) ~= 'table' or type(step[1]) ~= 'number' or type(step[2]) ~= 'number' then return false end
  end
  return true
end

-- It is advice: what cannot be read (of another release) is none, and nothing is refused for it.
local function outlook()
  if blob and not decoded then
    local readable, said = pcall(cjson.decode, blob)
    if readable and is_outlook(said) then decoded = said else blob = false end
  end
  return decoded
end

-- Empty members are left out of the JSON, so a turn that has no deadline and is accepted costs no decoding.
local function no_capacity()
  local foretold = blob and string.find(blob, '"no_capacity"', 1, true) and outlook()
  return foretold and foretold.no_capacity
end

local pace = redis.call('HMGET', key('pace'), 'turns', 'mean', 'variance')
local seen, mean, variance = number(pace[1]), number(pace[2]), number(pace[3])

-- Whose turns come before it for certain, and whose running limit counts. An API key with a running limit has one turn in the tenant's line
-- that may be claimed; the others stand behind all that may, and their place there says nothing.
local function owner_of(t) return t.key ~= '' and limit_of(t.key) and t.key or t.tenant end

local function before(t)
  return redis.call('ZRANK', key(t.apart > 0 and 'apart:' or 'wait:', owner_of(t)), t.order .. t.id) or 0
end

-- How many turns come in per second, of all and of a tenant: rates that fade, each with the moment when it was that.
local read = {} -- what this script's run knows of them

local function flows(tenant)
  if read[tenant] then return unpack(read[tenant]) end
  local rates = {}
  for i, stored in ipairs(redis.call('HMGET', key('flow'), ALL, tenant)) do
    local rate, at = string.match(stored or '0 0', '^(%S+) (%d+)$')
    rates[i] = tonumber(rate) * math.exp(math.min(0, tonumber(at) - now) / WINDOW)
  end
  read[tenant] = rates
  return rates[1], rates[2]
end

local function comes_in(tenant)
  local all, own = flows(tenant)
  local one = 1000 / WINDOW
  redis.call('HSET', key('flow'), ALL, string.format('%.9g %.0f', all + one, now),
    tenant, string.format('%.9g %.0f', own + one, now))
  redis.call('PEXPIRE', key('flow'), FORGOTTEN)
  read[tenant] = { all + one, own + one }
end

local function place_of(t)
  local owner, waiting = owner_of(t), redis.call('ZCARD', key('arrivals'))
  local all_flow, own_flow = flows(owner)
  local own = redis.call('ZCARD', key('wait:', owner)) + redis.call('ZCARD', key('apart:', owner))
  -- Beside a key's turns those of its tenant's other keys are others' too: all that wait may come first.
  local tenants = owner == t.tenant and redis.call('ZCARD', key('active')) or waiting
  return { now, before(t), own, waiting, tenants, redis.call('ZCARD', key('leases')), limit_of(owner) or 0,
    redis.call('SCARD', key('running:', owner)), string.format('%.9g', math.max(0, all_flow - own_flow)),
    seen, pace[2] or '0', pace[3] or '0', blob or '' }
end

local function earliest(count, ready, coming, turn)
  local slots, opened, started = ready, 0, ready
  for _, step in ipairs(coming) do
    local at = math.max(0, step[1] - now)
    local done = slots > 0 and (count - started) * turn / slots
    if done and done <= at then return math.max(opened, done) end
    slots, opened = slots + step[2], at
    started = started + (turn > 0 and step[2] * (1 - at / turn) or step[2])
  end
  return slots > 0 and math.max(opened, (count - started) * turn / slots)
end

-- The low end of a turn's wait in ms; nil where nothing is known.
local function low_end(t)
  local foretold = outlook()
  if not foretold then return nil end
  local count = before(t) + 1
  local turn = seen > 0 and math.max(0, mean - Z * math.sqrt(variance * (1 / count + 1 / math.min(seen, REMEMBERED))) - mean / seen) or 0
  local least = earliest(count, foretold.ready or 0, foretold.earliest or {}, turn)
  local limit = limit_of(owner_of(t))
  return least and limit and math.max(least, earliest(count, limit, {}, turn)) or least or nil
end
