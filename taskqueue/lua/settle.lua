-- What was reserved is corrected to what was served, or given back. A total that is not counted now will be counted from Postgres.
-- ARGV: per meter: kind, name, limit, units to add (negative: to give back).
for i = 1, #ARGV, 4 do
  local kind, name, limit, units = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  if kind == 'minute' then
    keep(name, limit, debt_of(name, limit) + units * WINDOW)
  elseif redis.call('EXISTS', key(name)) == 1 then
    redis.call('INCRBY', key(name), units)
  end
end
return redis.status_reply('OK')
