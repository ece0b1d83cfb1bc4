-- A turn enters the queue, if its tenant's limit, its API key's and the pool's bound admit it. Twice the same turn is one turn.
-- Whoever asks for a new task (`new`) is also refused where the pool can have no worker, and where its deadline comes before the low end of
-- its wait; what was accepted once is not.
-- Answer: the verdict, how many of the tenant's turns wait, (refused) how long it may be until a place is free, in ms, where the turn stands,
-- and why there is no capacity.
local turn, task, tenant = ARGV[1], ARGV[2], ARGV[3]
local priority, deadline, estimate, weight = ARGV[4], number(ARGV[5]), ARGV[6], ARGV[7]
local max_waiting, pool_max_waiting, max_running = number(ARGV[8]), number(ARGV[9]), number(ARGV[10])
local api_key, key_max_waiting, key_max_running = ARGV[11], number(ARGV[12]), number(ARGV[13])
local inbox, body, new = ARGV[14], ARGV[15], ARGV[16] == '1'

local SHARE = 4 -- times the free places of a bounded pool: what one tenant may have waiting (alone, four fifths of the bound)

-- By Little's law a line moves on by one place in the time that its first turn has waited, over the places behind it.
local function moves_on(owner, length)
  local first = first_of(owner)
  local arrival = first and redis.call('ZSCORE', key('arrivals'), first.id)
  return math.ceil(math.max(0, now - number(arrival or now)) / length)
end

-- Suspects wait as well.
local function length_of(owner) return redis.call('ZCARD', key('wait:', owner)) + redis.call('ZCARD', key('apart:', owner)) end

local waiting = length_of(tenant)
if redis.call('EXISTS', key('turn:', turn)) == 1 then return { 'known', waiting, 0 } end
if new and no_capacity() then
  return { 'no_capacity', waiting, 1000 * number(outlook().retry_s), {}, no_capacity() }
end
if max_waiting > 0 and waiting >= max_waiting then return { 'full', waiting, moves_on(tenant, waiting) } end
local of_key = key_max_waiting > 0 and length_of(api_key) or 0
if key_max_waiting > 0 and of_key >= key_max_waiting then return { 'key_full', waiting, moves_on(api_key, of_key) } end
-- Dynamic thresholds (Choudhury and Hahne, IEEE/ACM ToN 6(2), 1998): nobody may have more than a multiple of the places that are
-- free. So the bound is never passed, and one tenant's flood leaves places for the others.
if pool_max_waiting > 0 and waiting >= SHARE * (pool_max_waiting - redis.call('ZCARD', key('arrivals'))) then
  local oldest = redis.call('ZRANGE', key('arrivals'), 0, 0, 'WITHSCORES')[2]
  return { 'busy', waiting, math.max(0, now - number(oldest or now)) } -- by then the line will have turned over once
end
local order = string.format('%d%014d%014d:', priority, deadline > 0 and deadline or 99999999999999, now)
-- After a loss of Redis' data the log may have outlived the turn: numbers go on behind it.
local last = redis.call('XREVRANGE', key('log:', task), '+', '-', 'COUNT', 1)[1]
-- It is run and recorded: this is a second enqueue that comes late (its process was paused, and the sweep came first).
if last and last[2][2] == 'outcome' then return { 'known', waiting, 0 } end
local seq = (last and number(string.match(last[1], '^%d+')) or 0) + 1
redis.call('HSET', key('turn:', turn), 'state', 'waiting', 'task', task, 'tenant', tenant, 'worker', '', 'attempt', 0,
  'seq', seq, 'first', seq, 'order', order, 'arrival', now, 'deadline', deadline, 'estimate', estimate, 'charged', 0, 'weight', weight,
  'failures', 0, 'key', api_key, 'body', body)
-- Only now: a full Redis refuses a script by its first write that takes memory, and lets it pass once it has written.
set_limit(tenant, max_running)
local entering = { id = turn, tenant = tenant, key = api_key, order = order, arrival = now, apart = 0, estimate = number(estimate) }
if api_key ~= '' and set_limit(api_key, key_max_running) then mark_all(entering) end
put_in_line(entering)
local least = new and deadline > 0 and low_end(entering)
if least and now + least > deadline then
  local where = place_of(entering)
  take_out_of_line(entering)
  redis.call('DEL', key('turn:', turn))
  if place(tenant) then ring() end -- a running limit may have been edited by this very message
  return { 'too_late', waiting, 0, where }
end
if deadline > 0 then redis.call('ZADD', key('deadlines'), deadline, turn) end
if inbox ~= '' then
  redis.call('SADD', key('follow:', task), inbox)
  redis.call('EXPIRE', key('follow:', task), 86400)
end
tally('arrived', 1)
tally('arrived_tokens', entering.estimate)
comes_in(tenant)
if place(tenant) then ring() end
append(task, seq, 'state', '{"state":"queued"}')
post()
return { 'accepted', waiting + 1, 0, place_of(entering) }
