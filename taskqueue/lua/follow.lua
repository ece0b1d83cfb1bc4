-- From now on the inbox gets the task's new events; the answer says where the log stands.
local task, inbox = ARGV[1], ARGV[2]
local last = redis.call('XREVRANGE', key('log:', task), '+', '-', 'COUNT', 1)[1]
redis.call('SADD', key('follow:', task), inbox)
redis.call('EXPIRE', key('follow:', task), 86400)
return last and number(string.match(last[1], '^%d+')) or 0
