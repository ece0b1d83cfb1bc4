-- Common to all scripts: the clock, the names, and the few moves that several state changes share.
-- KEYS[1] is the pool's prefix. Every key that a script touches starts with it, hash tag included.

local P = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local BELLS = 256
local ORDER_CHARS = 30 -- length of the sort prefix in a member of wait:<owner>
local WAITING = '{"state":"waiting"}' -- a task between its turns
local FREE, BACK = 0, 1 -- scores in wait:<tenant>: may be claimed; held back, behind all that may

local function key(name, id) return P .. name .. (id or '') end
local function number(value) return tonumber(value) or 0 end

-- Events ------------------------------------------------------------------------------------------

local letters = {} -- inbox -> new events of this script's run
local readers = {} -- inbox -> tasks, to forget an inbox whose process is gone

local function publish(task, seq, kind, data)
  for _, inbox in ipairs(redis.call('SMEMBERS', key('follow:', task))) do
    if not letters[inbox] then letters[inbox], readers[inbox] = {}, {} end
    table.insert(letters[inbox], { task, seq, kind, data })
    table.insert(readers[inbox], task)
  end
end

local function post()
  for inbox, events in pairs(letters) do
    if redis.call('PUBLISH', key('inbox:', inbox), cmsgpack.pack(events)) == 0 then
      for _, task in ipairs(readers[inbox]) do redis.call('SREM', key('follow:', task), inbox) end
    end
  end
end

-- Redis itself refuses an entry id that is not above the last one: an event that comes twice is stored once.
local function append(task, seq, kind, data, tokens, raw)
  local id = string.format('%d-0', seq)
  local added
  if tokens and raw and raw ~= '' then
    added = redis.pcall('XADD', key('log:', task), id, 'k', kind, 'd', data, 't', tokens, 'r', raw)
  elseif tokens then
    added = redis.pcall('XADD', key('log:', task), id, 'k', kind, 'd', data, 't', tokens)
  else
    added = redis.pcall('XADD', key('log:', task), id, 'k', kind, 'd', data)
  end
  if type(added) == 'table' and added.err then
    if string.find(added.err, 'equal or smaller', 1, true) then return false end
    error(added.err)
  end
  publish(task, seq, kind, data)
  return true
end

-- Whether a task whose log ends so is between its turns.
local function waits(entry)
  local kind, data = entry[2][2], entry[2][4]
  return kind == 'tool_result' or (kind == 'state' and data == WAITING)
end

local function ring()
  redis.call('LPUSH', key('bell'), '1')
  redis.call('LTRIM', key('bell'), 0, BELLS - 1)
end

-- Fair share: the Virtual Token Counter, as in taskqueue/fair_share.py, which holds its theory ------

-- What a turn was charged becomes `tokens`: an estimate at claim, what it was served when it leaves its worker.
local function settle(t, tokens)
  local more = string.format('%.17g', (tokens - t.charged) / t.weight)
  redis.call('ZADD', key('active'), 'XX', redis.call('HINCRBYFLOAT', key('service'), t.tenant, more), t.tenant)
  t.charged = tokens
end

-- A tenant that comes back from idle is lifted to the lowest active counter: idle time earns no credit.
local function join(tenant)
  if redis.call('ZSCORE', key('active'), tenant) then return end
  local own = number(redis.call('HGET', key('service'), tenant))
  local lowest = redis.call('ZRANGE', key('active'), 0, 0, 'WITHSCORES')[2]
  if not lowest then
    local left = redis.call('GET', key('left'))
    lowest = left and redis.call('HGET', key('service'), left)
  end
  local service = math.max(own, number(lowest))
  redis.call('HSET', key('service'), tenant, string.format('%.17g', service))
  redis.call('ZADD', key('active'), string.format('%.17g', service), tenant)
end

-- The leases that a tenant or an API key holds are counted where they are, so that the count cannot drift from them.
local limits = {} -- what this script's run has read of max_running; false: none

local function limit_of(owner)
  if limits[owner] == nil then limits[owner] = tonumber(redis.call('HGET', key('max_running'), owner) or nil) or false end
  return limits[owner]
end

local function may_run(owner)
  local limit = limit_of(owner)
  return not limit or redis.call('SCARD', key('running:', owner)) < limit
end

-- A tenant is active while it has turns that may be claimed. One at its running limit is like one that is idle: it is passed over,
-- earns no credit meanwhile, and comes back when one of its turns ends. Returns whether it is active.
local function place(tenant)
  local first = redis.call('ZRANGE', key('wait:', tenant), 0, 0, 'WITHSCORES')
  if first[1] and tonumber(first[2]) == FREE and may_run(tenant) then
    join(tenant)
    return true
  end
  if redis.call('ZREM', key('active'), tenant) == 1 then redis.call('SET', key('left'), tenant) end
  return false
end

-- Turns --------------------------------------------------------------------------------------------

local FIELDS = { 'state', 'task', 'tenant', 'worker', 'attempt', 'seq', 'order', 'arrival', 'deadline', 'estimate',
  'charged', 'weight', 'failures', 'apart', 'key', 'reason', 'claimed', 'first' }

local function load(turn)
  local values = redis.call('HMGET', key('turn:', turn), unpack(FIELDS))
  if not values[1] then return nil end
  local t = { id = turn }
  for i, field in ipairs(FIELDS) do t[field] = values[i] end
  for _, field in ipairs({ 'attempt', 'seq', 'arrival', 'deadline', 'estimate', 'charged', 'weight', 'failures', 'apart', 'claimed', 'first' }) do
    t[field] = number(t[field])
  end
  t.key = t.key or '' -- a turn that was enqueued before there were such limits
  return t
end

local function held_by(t, worker, attempt)
  return t and t.state == 'running' and t.worker == worker and t.attempt == tonumber(attempt)
end

-- Of an API key with a running limit only the first waiting turn is free, and only while the key may run one more; the others stand
-- held back at the end of the tenant's line. So a key at its limit is passed over at no cost, and holds up no other key.
local function mark_first(t, score)
  local first = redis.call('ZRANGE', key('wait:', t.key), 0, 0)[1]
  if first then redis.call('ZADD', key('wait:', t.tenant), 'XX', score, first) end
end

local function mark_key(t)
  if t.key ~= '' and limit_of(t.key) then mark_first(t, may_run(t.key) and FREE or BACK) end
end

-- The key's limit came, changed or went: all its waiting turns are marked anew.
local function mark_all(t)
  local score = limit_of(t.key) and BACK or FREE
  for _, member in ipairs(redis.call('ZRANGE', key('wait:', t.key), 0, -1)) do
    redis.call('ZADD', key('wait:', t.tenant), 'XX', score, member)
  end
  mark_key(t)
end

-- Returns whether the limit of a tenant or an API key is another now.
local function set_limit(owner, limit)
  if (limit_of(owner) or 0) == limit then return false end
  limits[owner] = limit > 0 and limit
  if limit > 0 then
    redis.call('HSET', key('max_running'), owner, limit)
  else
    redis.call('HDEL', key('max_running'), owner)
  end
  return true
end

-- Suspects (as taskqueue/lua/reap.lua makes them) wait beside their tenant's line. `apart` says how they are run.
local TOGETHER, ALONE = 1, 2 -- beside turns that are no suspects; with nothing else

local function put_apart(t)
  redis.call('ZADD', key('apart:', t.tenant), t.apart, t.order .. t.id) -- who must be alone comes last
  if t.key ~= '' then redis.call('ZADD', key('apart:', t.key), t.apart, t.order .. t.id) end
  redis.call('SADD', key('apart'), t.tenant)
end

-- What came in and what waits, in turns and estimated tokens, so that nobody need count the line.
local function tally(what, tokens)
  if redis.call('HINCRBY', key('tally'), what, tokens) == 0 then redis.call('HDEL', key('tally'), what) end
end

local function put_in_line(t)
  if t.apart > 0 then
    put_apart(t)
  else
    local score = FREE
    if t.key ~= '' then
      if limit_of(t.key) then
        mark_first(t, BACK)
        score = BACK
      end
      redis.call('ZADD', key('wait:', t.key), 0, t.order .. t.id)
    end
    redis.call('ZADD', key('wait:', t.tenant), score, t.order .. t.id)
  end
  redis.call('ZADD', key('arrivals'), t.arrival, t.id)
  tally('waiting_tokens', t.estimate)
  mark_key(t)
end

local function take_out_of_line(t)
  local line = t.apart > 0 and 'apart:' or 'wait:'
  redis.call('ZREM', key(line, t.tenant), t.order .. t.id)
  if t.key ~= '' then redis.call('ZREM', key(line, t.key), t.order .. t.id) end
  if t.apart > 0 and redis.call('EXISTS', key('apart:', t.tenant)) == 0 then redis.call('SREM', key('apart'), t.tenant) end
  if redis.call('ZREM', key('arrivals'), t.id) == 1 then tally('waiting_tokens', -t.estimate) end
  mark_key(t)
end

-- Any of a tenant's, or an API key's, waiting turns.
local function first_of(owner)
  local first = redis.call('ZRANGE', key('wait:', owner), 0, 0)[1] or redis.call('ZRANGE', key('apart:', owner), 0, 0)[1]
  return first and load(string.sub(first, ORDER_CHARS + 1))
end

local function hold(t)
  redis.call('SADD', key('running:', t.tenant), t.id)
  if t.key ~= '' then redis.call('SADD', key('running:', t.key), t.id) end
end

local function let_go(t)
  if t.apart > 0 then redis.call('HDEL', key('wards'), t.worker) end
  redis.call('SREM', key('running:', t.tenant), t.id)
  if t.key ~= '' then
    redis.call('SREM', key('running:', t.key), t.id)
    mark_key(t)
  end
  redis.call('ZREM', key('leases'), t.id)
  redis.call('SREM', key('held:', t.worker), t.id)
  redis.call('HDEL', key('stop:', t.worker), t.id)
end

-- The token ids that all attempts at a turn have streamed, packed as they lie in its task's log.
local function streamed(t)
  local ids = {}
  for _, entry in ipairs(redis.call('XRANGE', key('log:', t.task), string.format('%d-0', t.first), '+')) do
    if entry[2][5] == 't' then table.insert(ids, entry[2][6]) end
  end
  return table.concat(ids)
end

-- The tenant pays for what it got, where no worker says what that was. Returns the tokens, those of all attempts.
local function settle_by_log(t)
  if t.attempt == 0 then return 0 end
  local tokens = #streamed(t) / 4
  settle(t, tokens)
  return tokens
end

-- Back to the queue; `reason` says to who follows the next attempt why there is one. What was charged in advance is given back; the next claim charges it again.
local function requeue(t, reason)
  let_go(t)
  local tokens = settle_by_log(t)
  t.seq = t.seq + 1
  local token = number(redis.call('HGET', key('turn:', t.id), 'token'))
  redis.call('HSET', key('turn:', t.id), 'state', 'waiting', 'worker', '', 'seq', t.seq, 'charged', t.charged,
    'failures', t.failures, 'apart', t.apart, 'reason', reason)
  redis.call('HDEL', key('turn:', t.id), 'token')
  put_in_line(t)
  if place(t.tenant) or t.apart > 0 then ring() end
  append(t.task, t.seq, 'state', '{"state":"queued"}')
  redis.call('XADD', key('record'), '*', 'r',
    cmsgpack.pack({ kind = 'requeued', turn = t.id, task = t.task, attempt = t.attempt, worker = t.worker,
      claimed_ms = t.claimed, tokens = tokens, first_token_ms = token, reason = reason }))
end

local SHARE_OF_ONE = 1 / 64 -- of a turn in what is known of the pace; the first ones count alike

-- How long turns hold a slot: mean and variance, moving with the last turns (Finch, "Incremental calculation of weighted mean and
-- variance", 2009).
local function keep_pace(held)
  local known = redis.call('HMGET', key('pace'), 'turns', 'mean', 'variance')
  local turns, mean = number(known[1]) + 1, number(known[2])
  local share, off = math.max(1 / turns, SHARE_OF_ONE), held - mean
  redis.call('HSET', key('pace'), 'turns', turns, 'mean', string.format('%.17g', mean + share * off),
    'variance', string.format('%.17g', (1 - share) * (number(known[3]) + share * off * off)))
end

-- The one end of a turn. It stays as `done` until the recorder has committed it, so that no sweep takes it for lost.
-- With an event of this `kind` its task goes on: it waits for what tool calls or a summary bring, and its stream has no outcome yet.
local function conclude(t, seq, outcome, record, kind, data)
  if t.state == 'running' then
    if t.claimed > 0 then keep_pace(math.max(0, now - t.claimed)) end
    local passed_over = not redis.call('ZSCORE', key('active'), t.tenant)
    let_go(t)
    if passed_over and place(t.tenant) then ring() end
  else
    take_out_of_line(t)
    place(t.tenant)
  end
  redis.call('ZREM', key('deadlines'), t.id)
  redis.call('HSET', key('turn:', t.id), 'state', 'done', 'seq', seq)
  redis.call('HDEL', key('turn:', t.id), 'body')
  if kind then
    append(t.task, seq, kind, data)
    append(t.task, seq + 1, 'state', WAITING)
  else
    append(t.task, seq, 'outcome', outcome)
  end
  redis.call('XADD', key('record'), '*', 'r', record)
end

-- An end that the queue itself decides: no text comes with it, the recorder reads the log.
local function conclude_here(t, state, code, message)
  local outcome = { state = state }
  local record = { kind = 'finished', turn = t.id, task = t.task, attempt = t.attempt, state = state,
    after = t.first }
  if t.worker and t.worker ~= '' then record.worker = t.worker end
  if code then
    outcome.error = { code = code, message = message }
    record.error = outcome.error
  end
  settle_by_log(t)
  conclude(t, t.seq + 1, cjson.encode(outcome), cmsgpack.pack(record))
end
