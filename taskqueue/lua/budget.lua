-- Common to the scripts of a tenant's budget: the clock, the names, and the arithmetic of taskqueue/buckets.py.
-- KEYS[1] is the tenant's prefix. Every key that a script touches starts with it, hash tag included.

local P = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local WINDOW = 60000

local function key(name) return P .. name end

-- What is left in a bucket now, in unit-milliseconds.
local function debt_of(name, limit)
  local stored = redis.call('GET', key(name))
  if not stored then return 0 end
  local debt, at = string.match(stored, '^(%d+) (%d+)$')
  return math.max(0, tonumber(debt) - math.max(0, now - tonumber(at)) * limit)
end

-- A bucket goes when it is empty: a tenant that is quiet for a minute leaves nothing behind.
local function keep(name, limit, debt)
  if debt <= 0 then
    redis.call('DEL', key(name))
  else
    redis.call('SET', key(name), string.format('%.0f %.0f', debt, now), 'PX', math.ceil(debt / limit))
  end
end
