-- A task ends between its turns. The recorder writes its outcome, as of any other end. Answer: 1, or 0 where it does not wait.
-- A log that Redis has lost begins anew with the outcome.
local task, outcome, record = ARGV[1], ARGV[2], ARGV[3]

local last = redis.call('XREVRANGE', key('log:', task), '+', '-', 'COUNT', 1)[1]
if last and not waits(last) then return 0 end
local seq = last and number(string.match(last[1], '^%d+')) or now
if not last then append(task, seq, 'restart', '{}') end
append(task, seq + 1, 'outcome', outcome)
redis.call('XADD', key('record'), '*', 'r', record)
post()
return 1
