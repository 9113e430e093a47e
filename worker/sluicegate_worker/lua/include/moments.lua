-- moments: what comes about by time alone: deadlines that pass, requests that were not to be sent before.
local EXPIRED_AT_ONCE, PROMOTED_AT_ONCE = 100, 50

local function expire(id, terms)
  local request = read_request(id)
  if request then finish_unanswered(id, request, 'expired', terms.now_us, terms.reply_ttl_ms) else end_damaged(id, terms.reply_ttl_ms) end
  redis.call('ZREM', expiry, id)
  terms.expired = terms.expired + 1
end

local function answer_expired(terms)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', terms.now_us, 'LIMIT', 0, EXPIRED_AT_ONCE)) do expire(id, terms) end
end

-- What was only to be sent later enters its agent's backlog when its time has come; retries stay until they are leased.
local function promote_due(terms)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', terms.now_us, 'LIMIT', 0, PROMOTED_AT_ONCE)) do
    local request = read_request(id)
    local stream, entry = split_place(request and request.place)
    local found = stream == 'retry' and redis.call('XRANGE', retry, entry, entry)[1]
    if found and found[2][6] == 'later' then
      enter_backlog(id, request.lane, request.agent, tonumber(request.cost))
      leave_delay(id, entry)
    end
  end
end
