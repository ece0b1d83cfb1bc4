-- Something happened to a task between its turns (a tool's result): one event more in its log, while it waits there. What is told
-- again under the same id (the field `id` of its data) stands there once.
-- Answer: the event's number; 0: the task does not wait, or Redis has lost its log.
local task, kind, data, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local PAGE = 32

local last = redis.call('XREVRANGE', key('log:', task), '+', '-', 'COUNT', 1)[1]
if not last or not waits(last) then return 0 end
local function seq_of(entry) return number(string.match(entry[1], '^%d+')) end

-- The events since the turn's end are all of this kind: the search stops at the first that is not.
local before, entries = '+', nil
repeat
  entries = redis.call('XREVRANGE', key('log:', task), before, '-', 'COUNT', PAGE)
  for _, entry in ipairs(entries) do
    if entry[2][2] ~= kind then
      entries = {}
      break
    end
    if cjson.decode(entry[2][4]).id == id then return seq_of(entry) end
    before = '(' .. entry[1]
  end
until #entries < PAGE

local seq = seq_of(last) + 1
append(task, seq, kind, data)
post()
return seq
