-- A worker takes up to n turns: each time from the active tenant with the lowest service counter.
local worker, slots, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local claimed = {}

while #claimed < slots do
  local tenant = redis.call('ZRANGE', key('active'), 0, 0)[1]
  if not tenant then
    redis.call('DEL', key('bell'))
    break
  end
  local first = redis.call('ZRANGE', key('wait:', tenant), 0, 0)[1]
  local t = first and load(string.sub(first, ORDER_CHARS + 1))
  if not t then -- cannot be, unless keys were deleted by hand: never loop on it
    if first then redis.call('ZREM', key('wait:', tenant), first) end
    place(tenant)
  elseif t.deadline > 0 and t.deadline <= now then
    conclude_here(t, 'expired')
  else
    hold(t)
    take_out_of_line(t)
    settle(t, math.max(t.estimate, t.charged))
    place(tenant)
    t.attempt, t.seq = t.attempt + 1, t.seq + 1
    append(t.task, t.seq, 'state', string.format('{"state":"running","attempt":%d}', t.attempt))
    if t.attempt > 1 then
      t.seq = t.seq + 1
      append(t.task, t.seq, 'attempt', string.format('{"attempt":%d,"reason":"%s"}', t.attempt, t.reason or 'worker_lost'))
    end
    redis.call('HSET', key('turn:', t.id), 'state', 'running', 'worker', worker, 'attempt', t.attempt, 'seq', t.seq,
      'charged', t.charged)
    redis.call('ZADD', key('leases'), now + lease, t.id)
    redis.call('SADD', key('held:', worker), t.id)
    redis.call('XADD', key('record'), '*', 'r',
      cmsgpack.pack({ kind = 'claimed', turn = t.id, task = t.task, attempt = t.attempt, worker = worker }))
    table.insert(claimed, { t.id, t.task, tenant, t.attempt, t.seq, t.arrival, t.deadline,
      redis.call('HGET', key('turn:', t.id), 'body'), t.attempt > 1 and streamed(t.task) or '' })
  end
end
post()
return claimed
