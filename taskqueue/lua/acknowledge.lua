-- The recorder has committed these records: they and their turns leave; logs stay a while for late readers. A turn without a task to
-- forget is one of a task that goes on: it stays as `done` as long, so that an enqueue of it that comes late is known.
local keep = tonumber(ARGV[1])
for i = 2, #ARGV, 3 do
  local id, turn, task = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  redis.call('XDEL', key('record'), id)
  if turn ~= '' and task ~= '' then
    redis.call('DEL', key('turn:', turn))
  elseif turn ~= '' then
    redis.call('PEXPIRE', key('turn:', turn), keep)
  end
  if task ~= '' then
    redis.call('DEL', key('follow:', task))
    redis.call('PEXPIRE', key('log:', task), keep)
  end
end
return redis.status_reply('OK')
