-- A turn enters the queue, if its tenant's limit admits it. Twice the same turn is one turn.
local turn, task, tenant = ARGV[1], ARGV[2], ARGV[3]
local priority, deadline, estimate, weight = ARGV[4], number(ARGV[5]), ARGV[6], ARGV[7]
local max_waiting, inbox, body = number(ARGV[8]), ARGV[9], ARGV[10]

local waiting = redis.call('ZCARD', key('wait:', tenant))
if redis.call('EXISTS', key('turn:', turn)) == 1 then return { 'known', waiting } end
if max_waiting > 0 and waiting >= max_waiting then return { 'full', waiting } end

local order = string.format('%d%014d%014d:', priority, deadline > 0 and deadline or 99999999999999, now)
-- After a loss of Redis' data the log may have outlived the turn: numbers go on behind it.
local last = redis.call('XREVRANGE', key('log:', task), '+', '-', 'COUNT', 1)[1]
-- It is run and recorded: this is a second enqueue that comes late (its process was paused, and the sweep came first).
if last and last[2][2] == 'outcome' then return { 'known', waiting } end
local seq = (last and number(string.match(last[1], '^%d+')) or 0) + 1
redis.call('HSET', key('turn:', turn), 'state', 'waiting', 'task', task, 'tenant', tenant, 'worker', '', 'attempt', 0,
  'seq', seq, 'order', order, 'arrival', now, 'deadline', deadline, 'estimate', estimate, 'charged', 0, 'weight', weight,
  'failures', 0, 'body', body)
if deadline > 0 then redis.call('ZADD', key('deadlines'), deadline, turn) end
if inbox ~= '' then
  redis.call('SADD', key('follow:', task), inbox)
  redis.call('EXPIRE', key('follow:', task), 86400)
end
join(tenant)
put_in_line({ id = turn, tenant = tenant, order = order, arrival = now })
append(task, seq, 'state', '{"state":"queued"}')
post()
return { 'accepted', waiting + 1 }
