-- A waiting turn ends here; a running one is ended by its worker, which is told at its next emit or heartbeat.
local reason = ARGV[1]
local answers = {}
for i = 2, #ARGV do
  local t = load(ARGV[i])
  if t and t.state == 'waiting' then
    conclude_here(t, reason)
    table.insert(answers, 'ended')
  elseif t and t.state == 'running' then
    redis.call('HSETNX', key('stop:', t.worker), t.id, reason)
    table.insert(answers, 'stopping')
  elseif t then
    table.insert(answers, 'over')
  else
    table.insert(answers, 'unknown')
  end
end
post()
return answers
