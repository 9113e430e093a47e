-- keys: per-agent and per-id names, built from the one declared prefix; the same as keys.py, which says what each is.
local prefix = string.sub(config, 1, -7)

local function backlog_key(lane, agent) return prefix .. 'backlog:' .. lane .. ':' .. agent end
local function ring_key(lane) return prefix .. 'ring:' .. lane end
local function request_key(id) return prefix .. 'request:' .. id end
local function reply_key(id) return prefix .. 'reply:' .. id end
local function inbox_key(producer) return prefix .. 'inbox:' .. producer end
local function alive_key(producer) return prefix .. 'alive:' .. producer end
local function idempotency_key(agent, key) return prefix .. 'key:' .. agent .. ':' .. key end
local function upstream_key(name) return prefix .. 'upstream:' .. name end
local function spent_key(window) return prefix .. 'spent:' .. window end
local suspects = prefix .. 'suspects'
local flying = prefix .. 'flying'
