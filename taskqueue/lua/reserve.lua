-- A request is admitted if every meter that counts it has room: then each takes its cost, else none does.
-- ARGV: the month's end (ms), then per meter: kind, name, limit, cost.
-- Answer: the verdict, then per meter: what remains, ms until it is as new, ms until the cost fits (0: it did, -1: it never will).
local until_month_end = math.max(1, tonumber(ARGV[1]) - now)
local meters, admitted = {}, true

for i = 2, #ARGV, 4 do
  local m = { kind = ARGV[i], name = ARGV[i + 1], limit = tonumber(ARGV[i + 2]), cost = tonumber(ARGV[i + 3]), wait = 0 }
  if m.kind == 'month' then
    m.used = tonumber(redis.call('GET', key(m.name)) or nil)
    if not m.used then return { 'uncounted' } end
    if m.used + m.cost > m.limit then m.wait = until_month_end end
  else
    m.debt = debt_of(m.name, m.limit)
    m.wait = math.max(0, math.ceil((m.debt + (m.cost - m.limit) * WINDOW) / m.limit))
  end
  if m.cost > m.limit then m.wait = -1 end
  admitted = admitted and m.wait == 0
  table.insert(meters, m)
end

local answer = { admitted and 'admitted' or 'refused' }
for _, m in ipairs(meters) do
  if m.kind == 'month' then
    if admitted then m.used = redis.call('INCRBY', key(m.name), m.cost) end
    table.insert(answer, math.max(0, m.limit - m.used))
    table.insert(answer, until_month_end)
  else
    if admitted then
      m.debt = m.debt + m.cost * WINDOW
      keep(m.name, m.limit, m.debt)
    end
    table.insert(answer, math.floor(math.max(0, m.limit * WINDOW - m.debt) / WINDOW))
    table.insert(answer, math.ceil(m.debt / m.limit))
  end
  table.insert(answer, m.wait)
end
return answer
