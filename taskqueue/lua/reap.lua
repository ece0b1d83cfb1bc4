-- Lapsed leases go back to the queue or, out of attempts, to their end; deadlines that passed are enforced.
local max_attempts, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local moved = 0

for _, turn in ipairs(redis.call('ZRANGEBYSCORE', key('leases'), '-inf', now, 'LIMIT', 0, limit)) do
  local t = load(turn)
  if not t or t.state ~= 'running' then
    redis.call('ZREM', key('leases'), turn)
  else
    t.failures = t.failures + 1
    local stop = redis.call('HGET', key('stop:', t.worker), turn)
    if stop then
      conclude_here(t, stop)
    elseif t.failures >= max_attempts then
      conclude_here(t, 'failed', 'worker_lost',
        string.format('The worker was lost %d times while it ran this task.', t.failures))
    else
      requeue(t, 'worker_lost')
    end
    moved = moved + 1
  end
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
