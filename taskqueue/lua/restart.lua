-- Redis has lost the logs of these tasks with their turns: whoever has read of them must forget it and begin anew.
-- Numbers go on at the clock's milliseconds, far behind all that were given. Where a log is left, nothing is lost.
local restarted = 0
for i = 1, #ARGV do
  if redis.call('EXISTS', key('log:', ARGV[i])) == 0 then
    append(ARGV[i], now, 'restart', '{}')
    restarted = restarted + 1
  end
end
post()
return restarted
