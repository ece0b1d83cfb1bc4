-- Somebody is about to kill a worker: what it loses by that is nobody's fault. The mark comes before the kill, so that no look finds
-- the worker gone and unmarked. It hinders nothing: a worker that is not killed after all works on.
local worker, keep = ARGV[1], tonumber(ARGV[2])
redis.call('SET', key('killed:', worker), '1', 'PX', keep)
return redis.call('SCARD', key('held:', worker))
