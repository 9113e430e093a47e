-- breaker: whether an upstream is called at all. Closed; open after too many failures, or at once where no call can succeed; when its
-- time is over one call at a time is let through as a probe; a probe that is answered closes it, and the rate starts slowly.
local CREDENTIALS_US, CREDENTIALS_MOST_US = 5000000, 60000000
local QUOTA_US, QUOTA_MOST_US = 30000000, 3600000000
-- Of the time it has been open: how long until the next probe. So little of a recovery is lost, and the longer it lasts the fewer ask.
local SOON, SLOWLY = 0.05, 1

local function read_breaker_terms()
  local terms = redis.call('HMGET', config, 'breaker_failures', 'breaker_share', 'breaker_open_us', 'breaker_cap_us')
  for at = 1, 4 do terms[at] = tonumber(terms[at]) end
  return { failures = terms[1] or 10, share = terms[2] or 0.5, open_us = terms[3] or SECOND_US, cap_us = terms[4] or 5 * SECOND_US }
end

-- How long at least, at most, and as a share. Keys and quotas change by somebody's hand, not by waiting a moment.
local function terms_of(reason)
  if reason == 'credentials' then return CREDENTIALS_US, CREDENTIALS_MOST_US, SLOWLY end
  if reason == 'quota' then return QUOTA_US, QUOTA_MOST_US, SLOWLY end
  local terms = read_breaker_terms()
  return terms.open_us, terms.cap_us, SOON
end

-- `least_us`: as long as the provider said, 0 where it said nothing.
local function open_breaker(bucket, reason, least_us, now_us)
  local shortest_us, longest_us, share = terms_of(reason)
  local again = bucket.breaker ~= '' and bucket.breaker_reason == reason
  local opened_us = again and bucket.opened_us or now_us
  local open_us = math.max(least_us, math.min(longest_us, math.max(shortest_us, math.floor(share * (now_us - opened_us)))))
  set(bucket, 'breaker', 'open')
  set(bucket, 'breaker_reason', reason)
  set(bucket, 'opened_us', opened_us)
  set(bucket, 'open_until_us', math.max(again and bucket.open_until_us or 0, now_us + open_us))
  set(bucket, 'probe', '')
end

local function close_breaker(bucket, now_us)
  for _, field in ipairs({ 'breaker', 'breaker_reason', 'probe' }) do set(bucket, field, '') end
  set(bucket, 'opened_us', 0)
  set(bucket, 'failed_in_row', 0)
  set(bucket, 'closed_us', now_us)
  forget_failures(bucket.name, now_us)
  bucket.wakes = true
end

-- Until when nothing may be sent because of it. A probe that is under way is waited for; one whose entry is gone is not.
local function breaker_opens_us(bucket)
  if bucket.breaker == '' then return 0 end
  if bucket.probe ~= '' and redis.call('XRANGE', run, bucket.probe, bucket.probe)[1] then return math.huge end
  return bucket.open_until_us
end

local function begin_probe(bucket, fence)
  set(bucket, 'probe', fence)
  bucket.blocked_until_us = math.huge
end

-- What an answer says of the upstream; `fence` of the call. What was under way when it opened says nothing new.
local function note_good(bucket, fence, now_us)
  if bucket.breaker == '' then
    if bucket.failed_in_row > 0 then set(bucket, 'failed_in_row', 0) end
    return tally(bucket.name, now_us, 'good', 1)
  end
  if bucket.probe == fence then close_breaker(bucket, now_us) end
end

local function note_failure(bucket, fence, now_us)
  if bucket.breaker ~= '' then
    if bucket.probe == fence then open_breaker(bucket, bucket.breaker_reason, 0, now_us) end
    return
  end
  tally(bucket.name, now_us, 'failed', 1)
  set(bucket, 'failed_in_row', bucket.failed_in_row + 1)
  local recent, terms = read_recent(bucket.name, now_us), read_breaker_terms()
  local answers = recent.failed + recent.good
  local often = answers >= 2 * terms.failures and recent.failed >= terms.share * answers
  if often or bucket.failed_in_row >= terms.failures then open_breaker(bucket, 'failures', 0, now_us) end
end

-- No call can succeed until somebody does something: at once, whoever finds out first.
local function note_useless(bucket, reason, fence, least_us, now_us)
  if bucket.breaker ~= '' and bucket.breaker_reason == reason and bucket.probe ~= fence then return end
  open_breaker(bucket, reason, least_us, now_us)
end
