-- request: what is said of a request once and for all, as one text in the field `facts` of its hash; what changes has fields of its own.
-- One text costs a fraction of ten fields: to hand over, to read and to keep.
local FORM = '%s %s %d %d %s %s %d %d %d %d '
local FACTS = '^([%w._-]+) (%a+) (%d+) (%d+) (%w+) (%a+) (%d+) (%d+) (%d+) (%-?%d+) (.*)$'
local ORDER = '^([%w._-]+) (%a+) %d+ (%d+) %w+ %a+ %d+ (%d+) (%d+) (%-?%d+) (.*)$'
local COUNT_CHARACTERS = 16

-- Times in microseconds of the clock; `cost` in those of the pool's time.
local function write_facts(agent, lane, accepted_us, deadline_us, digest, on_unknown, bytes, cost, tokens_in, tokens_out, model)
  return string.format(FORM, agent, lane, accepted_us, deadline_us, digest, on_unknown, bytes, cost, tokens_in, tokens_out) .. model
end

-- The same as texts and in the same order; nothing where there is no such text, or one that another's hand has damaged.
local function read_facts(text)
  local agent, lane, accepted_us, deadline_us, digest, on_unknown, bytes, cost, tokens_in, tokens_out, model =
    string.match(text or '', FACTS)
  if lane ~= 'interactive' and lane ~= 'batch' or math.max(#accepted_us, #deadline_us, #bytes, #cost, #tokens_in, #tokens_out) > COUNT_CHARACTERS then
    return nil
  end
  return agent, lane, accepted_us, deadline_us, digest, on_unknown, bytes, cost, tokens_in, tokens_out, model
end

-- What is needed of them to send the request: agent, lane, deadline_us, cost, tokens_in, tokens_out, model.
local function read_order(text)
  local agent, lane, deadline_us, cost, tokens_in, tokens_out, model = string.match(text or '', ORDER)
  if lane ~= 'interactive' and lane ~= 'batch' or math.max(#deadline_us, #cost, #tokens_in, #tokens_out) > COUNT_CHARACTERS then return nil end
  return agent, lane, deadline_us, cost, tokens_in, tokens_out, model
end

local function is_count(value) return value and #value <= COUNT_CHARACTERS and string.find(value, '^%d+$') end

-- Their words in that order, whatever they are.
local function split_facts(text)
  local words = {}
  for word in string.gmatch((text or '') .. ' ', '([^ ]*) ') do words[#words + 1] = word end
  return words
end

-- Agent, lane, bytes and cost of damaged ones, as far as each can still be used.
local function salvage_facts(text)
  local words = split_facts(text)
  return string.match(words[1], '^[%w._-]+$'), words[2], is_count(words[7]) and words[7] or nil, is_count(words[8]) and words[8] or nil
end
