-- A worker gives turns back (drain). This is no failure: only the attempt number moves on, at the next claim.
local worker = ARGV[1]
local released = 0
for i = 2, #ARGV do
  local t = load(ARGV[i])
  if t and t.state == 'running' and t.worker == worker then
    local stop = redis.call('HGET', key('stop:', worker), t.id)
    if stop then conclude_here(t, stop) else requeue(t, 'handed_over') end
    released = released + 1
  end
end
post()
return released
