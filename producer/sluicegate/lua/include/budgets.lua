-- budgets: how many tokens one agent may take in a window of time, where the pool has such a limit. Windows are those of the clock.
local budget

local function read_budget()
  if not budget then
    local most, window_us = unpack(redis.call('HMGET', config, 'agent_tokens', 'agent_window_us'))
    budget = { most = tonumber(most) or 0, window_us = math.max(1, tonumber(window_us) or 1) }
  end
  return budget
end

-- A window's number, as its key says it.
local function window_at(at_us) return string.format('%.0f', math.floor(at_us / read_budget().window_us)) end

-- Until the agent may go on: 0, or the time until the next window.
local function barred_us(agent, now_us)
  local terms = read_budget()
  if terms.most == 0 then return 0 end
  local window = window_at(now_us)
  local spent = tonumber(redis.call('HGET', spent_key(window), agent)) or 0
  return spent < terms.most and 0 or (window + 1) * terms.window_us - now_us
end

-- `at_us`: when the request was leased, so that what it really took is booked where its estimate was.
local function spend(agent, tokens, at_us, now_us)
  local terms = read_budget()
  if terms.most == 0 or tokens == 0 then return end
  local window = window_at(at_us)
  if window ~= window_at(now_us) then return end
  redis.call('HINCRBY', spent_key(window), agent, tokens)
  redis.call('PEXPIRE', spent_key(window), math.ceil(terms.window_us / 1000) + 60000)
end
