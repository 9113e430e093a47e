-- costs: what a request costs its agent: seconds of the whole pool's capacity in the dimension that is scarcest for it, whichever
-- upstream answers it. How many tokens it will take is learned for each model, from what became of others.
local MODELS_MOST = 100
local MODEL_CHARACTERS = 64
local LEARNED = '^(%d+) (%S+) (%S+) (%S+) (%S+) (%S+)$'
local UNKNOWN_OUT = 256 -- of a model of which nothing is known, where the caller does not say either
local MEMORY = 20 -- answers: about as many are remembered

local models, learned = {}, {} -- read once; what was learned is written once, by `save_models`

-- Of a model: how many answers were learned from, mean tokens in as estimated and as used, out as asked and as given, and out where
-- nothing was asked.
local function read_model(model)
  local name = string.sub(model, 1, MODEL_CHARACTERS)
  if models[name] then return models[name] end
  local count, guessed, taken, asked, given, free = string.match(redis.call('HGET', sched, 'model:' .. name) or '', LEARNED)
  models[name] = { count = tonumber(count) or 0, guessed = tonumber(guessed) or 0, taken = tonumber(taken) or 0,
    asked = tonumber(asked) or 0, given = tonumber(given) or 0, free = tonumber(free) or 0 }
  return models[name]
end

local function ratio(part, whole) return whole > 0 and math.max(0.05, math.min(20, part / whole)) or 1 end

-- `asked` is the most that the answer may have by the caller's own words, negative where it does not say.
-- Returns tokens in and out as they will probably be.
local function predict(model, tokens_in, asked)
  local known = read_model(model)
  local out = asked >= 0 and asked * math.min(1, ratio(known.given, known.asked)) or known.free > 0 and known.free or UNKNOWN_OUT
  return math.ceil(tokens_in * ratio(known.taken, known.guessed)), math.ceil(out)
end

local function learn(model, tokens_in, asked, used_in, used_out)
  local known, name = read_model(model), string.sub(model, 1, MODEL_CHARACTERS)
  if known.count == 0 and redis.call('HINCRBY', sched, 'models', 1) > MODELS_MOST then
    redis.call('HINCRBY', sched, 'models', -1)
    return
  end
  local function blend(mean, value, first) return first and value or mean + (value - mean) / MEMORY end
  known.guessed, known.taken = blend(known.guessed, tokens_in, known.count == 0), blend(known.taken, used_in, known.count == 0)
  if asked >= 0 then
    known.asked, known.given = blend(known.asked, asked, known.asked == 0), blend(known.given, used_out, known.asked == 0)
  else
    known.free = blend(known.free, used_out, known.free == 0)
  end
  known.count = math.min(known.count + 1, 1000000)
  learned[name] = known
end

local function save_models()
  for name, known in pairs(learned) do
    redis.call('HSET', sched, 'model:' .. name, string.format('%d %.3f %.3f %.3f %.3f %.3f', known.count, known.guessed, known.taken,
      known.asked, known.given, known.free))
  end
end

local pool_prices

local function read_pool_prices()
  if not pool_prices then
    local found = redis.call('HMGET', config, 'price_us', 'tpm_price_us', 'itpm_price_us', 'otpm_price_us')
    pool_prices = { rpm = tonumber(found[1]) or 0, tpm = tonumber(found[2]) or 0, itpm = tonumber(found[3]) or 0,
      otpm = tonumber(found[4]) or 0 }
  end
  return pool_prices
end

-- Without any limit every request still costs its agent the same, or the first in the ring would be served for ever.
local function cost_us(tokens_in, tokens_out)
  local prices = read_pool_prices()
  return math.ceil(math.max(1, prices.rpm, (tokens_in + tokens_out) * prices.tpm, tokens_in * prices.itpm, tokens_out * prices.otpm))
end
