-- Something happened to a task between its turns (a tool's result): one event more in its log, while it waits there.
-- Answer: the event's number; 0: it does not wait, or Redis has lost its log.
local task, kind, data = ARGV[1], ARGV[2], ARGV[3]

local last = redis.call('XREVRANGE', key('log:', task), '+', '-', 'COUNT', 1)[1]
if not last or not waits(last) then return 0 end
local seq = number(string.match(last[1], '^%d+')) + 1
append(task, seq, kind, data)
post()
return seq
