-- Turns end, by their holder's word. The cost estimated at claim is corrected to what was served.
-- ARGV: worker, then per turn: turn, attempt, seq, outcome (JSON), record (MessagePack), tokens served, and kind and data (JSON) of the
-- event behind which the task goes on waiting ('': the task ends with this turn).
local worker = ARGV[1]
local stops = {}

for i = 2, #ARGV, 8 do
  local turn, attempt, seq = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local outcome, record, tokens, kind, data = ARGV[i + 3], ARGV[i + 4], tonumber(ARGV[i + 5]), ARGV[i + 6], ARGV[i + 7]
  local t = load(turn)
  if held_by(t, worker, attempt) then
    -- Who was told that it is stopping ends with this turn, also where it ends in calls.
    local stop = kind ~= '' and redis.call('HGET', key('stop:', worker), turn)
    settle(t, tokens)
    conclude(t, math.max(seq, t.seq + 1), outcome, record, kind ~= '' and kind, data)
    if stop then
      append(t.task, math.max(seq, t.seq + 1) + 2, 'outcome', cjson.encode({ state = stop }))
      redis.call('XADD', key('record'), '*', 'r',
        cmsgpack.pack({ kind = 'closed', turn = turn, task = t.task, attempt = 0, state = stop }))
    end
  else
    table.insert(stops, { turn, 'lost' })
  end
end
post()
return stops
