-- Text of one engine step, all turns together. A turn whose attempt is no longer the holder's is refused.
-- ARGV: worker, then per event: turn, attempt, seq, kind, data (JSON; of `text` a literal), packed token ids, the raw text (JSON
-- literal; '': as shown).
local worker = ARGV[1]
local stops = {}

for i = 2, #ARGV, 7 do
  local turn, attempt, seq, kind, data = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3], ARGV[i + 4]
  local tokens, raw = ARGV[i + 5], ARGV[i + 6]
  local held = redis.call('HMGET', key('turn:', turn), 'state', 'worker', 'attempt', 'task', 'token')
  if held[1] == 'running' and held[2] == worker and held[3] == attempt then
    if append(held[4], seq, kind, data, kind == 'text' and tokens, raw) then
      if kind == 'text' and not held[5] then -- the attempt's first token, for who reads how long it took
        redis.call('HSET', key('turn:', turn), 'seq', seq, 'token', now)
      else
        redis.call('HSET', key('turn:', turn), 'seq', seq)
      end
    end
  else
    table.insert(stops, { turn, 'lost' })
  end
end
local asked = redis.call('HGETALL', key('stop:', worker))
for i = 1, #asked, 2 do table.insert(stops, { asked[i], asked[i + 1] }) end
post()
return stops
