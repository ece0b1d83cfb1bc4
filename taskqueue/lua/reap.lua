-- Lapsed leases go back to the queue or, out of attempts, to their end; deadlines that passed are enforced.
--
-- A lease that lapses while its worker beats was never heard of (its claim's answer was lost): one attempt is used up. A worker that has
-- not beaten for a lease is lost, with all that it held, and each of these turns may be what killed it. The first loss of a turn proves
-- nothing. From its `max_losses`th on it is a suspect:
--   it was all that the worker held: it ends as failed, a dead letter;
--   else it is kept apart, first TOGETHER with turns that are no suspects, one suspect to a worker; after a further loss ALONE.
-- A worker that somebody killed (dismiss.lua) was lost by that alone: its turns come back as what they were.
-- So nothing is condemned for a loss that another turn may have caused, and what kills every worker kills max_losses + 2 at most.
--
-- Who looks for the first time in a while cannot know whether workers could reach Redis meanwhile: then every lease holds for one lease
-- more. The note of each look takes memory as a heartbeat does, so a Redis too full for the one is too full for the other.
local max_attempts, max_losses, lease, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local moved = 0

local LOOKS = 250 -- ms between two notes of having looked
local BLIND = math.max(lease / 2, 1000) -- a worker that is well can beat in time after a shorter absence

local looked = tonumber(redis.call('GET', key('looked')) or now)
if now - looked >= LOOKS or looked == now then redis.call('SET', key('looked'), string.format('%d', now)) end
if now - looked > BLIND then
  for _, turn in ipairs(redis.call('ZRANGEBYSCORE', key('leases'), '-inf', now + lease)) do
    redis.call('ZADD', key('leases'), 'XX', now + lease, turn)
  end
end

local function is_lost(worker) return number(redis.call('ZSCORE', key('workers'), worker)) + lease <= now end

local function lose(worker)
  local held = redis.call('SMEMBERS', key('held:', worker))
  local killed = redis.call('EXISTS', key('killed:', worker)) == 1
  redis.call('HDEL', key('wards'), worker)
  for _, turn in ipairs(held) do
    local t = load(turn)
    local losses = t and (killed and 0 or redis.call('HINCRBY', key('turn:', turn), 'losses', 1))
    local stop = redis.call('HGET', key('stop:', worker), turn)
    if not t then -- cannot be, unless keys were deleted by hand
      redis.call('SREM', key('held:', worker), turn)
      redis.call('ZREM', key('leases'), turn)
    elseif stop then
      conclude_here(t, stop)
    elseif losses >= max_losses and #held == 1 then
      conclude_here(t, 'failed', 'poison', string.format('%d workers were lost while they ran this task, the last one while it ' ..
        'ran nothing else. The task is set aside.', losses))
    else
      if losses == max_losses then t.apart = TOGETHER elseif losses > max_losses then t.apart = ALONE end
      requeue(t, 'worker_lost')
    end
    moved = moved + 1
  end
end

for _, turn in ipairs(redis.call('ZRANGEBYSCORE', key('leases'), '-inf', now, 'LIMIT', 0, limit)) do
  local t = load(turn)
  if not t or t.state ~= 'running' then
    redis.call('ZREM', key('leases'), turn)
  elseif is_lost(t.worker) then
    lose(t.worker)
  else
    t.failures = t.failures + 1
    local stop = redis.call('HGET', key('stop:', t.worker), turn)
    if stop then
      conclude_here(t, stop)
    elseif t.failures >= max_attempts then
      conclude_here(t, 'failed', 'attempts_exhausted',
        string.format('%d times a worker took this task and then did nothing for it.', t.failures))
    else
      requeue(t, 'worker_lost')
    end
    moved = moved + 1
  end
end

-- A worker that was clearing itself and is gone hinders the next.
local wards = redis.call('HGETALL', key('wards'))
for i = 1, #wards, 2 do
  if wards[i + 1] == 'clearing' and is_lost(wards[i]) then redis.call('HDEL', key('wards'), wards[i]) end
end

for _, turn in ipairs(redis.call('ZRANGEBYSCORE', key('deadlines'), '-inf', now, 'LIMIT', 0, limit)) do
  local t = load(turn)
  redis.call('ZREM', key('deadlines'), turn)
  if t and t.state == 'waiting' then
    conclude_here(t, 'expired')
    moved = moved + 1
  elseif t and t.state == 'running' then
    redis.call('HSETNX', key('stop:', t.worker), turn, 'expired') -- who cancelled it was told so
    moved = moved + 1
  end
end
post()
return moved
