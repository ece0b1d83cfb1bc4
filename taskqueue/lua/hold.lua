-- A task waits for another one of its conversation: its stream begins, and it is in no line yet. With those that wait so (`before`, as
-- Postgres counts them) it is asked for a place as any other that waits.
-- Answer: as that of `enqueue`.
local task, tenant, before, max_waiting = ARGV[1], ARGV[2], number(ARGV[3]), number(ARGV[4])
local api_key, before_of_key, key_max_waiting, inbox = ARGV[5], number(ARGV[6]), number(ARGV[7]), ARGV[8]

local RETRY = 1000 -- ms; when the one before it ends is not known
local function length_of(owner) return redis.call('ZCARD', key('wait:', owner)) + redis.call('ZCARD', key('apart:', owner)) end

local waiting = length_of(tenant) + before
if redis.call('EXISTS', key('log:', task)) == 1 then return { 'known', waiting, 0 } end
if max_waiting > 0 and waiting >= max_waiting then return { 'full', waiting, RETRY } end
if key_max_waiting > 0 and length_of(api_key) + before_of_key >= key_max_waiting then return { 'key_full', waiting, RETRY } end
if inbox ~= '' then
  redis.call('SADD', key('follow:', task), inbox)
  redis.call('EXPIRE', key('follow:', task), 86400)
end
append(task, 1, 'state', WAITING)
post()
return { 'accepted', waiting + 1, 0 }
