-- post-function, header_filter phase: every answer that the gateway itself makes becomes a problem detail
-- (RFC 9457) with a stable `code`; every answer, the provider's too, gets the marketplace's headers.
--
-- acl can only say 403. The consumer's tags, written by kong-sync, hold the real reason:
--   stop:quota (with until:<unix>), stop:past_due, stop:paused, stop:canceled, stop:pending,
--   status:revoked, status:expired, api:<id>, which differs from the service's for a key of another API, and
--   scope:<scope> for a key that is restricted to scopes; what is asked for stands in the route's tags (post_access.lua).

-- kong-sync fills these in when it attaches the file; unfilled, the defaults hold
local PROBLEM_BASE = "@PROBLEM_BASE@"
local PORTAL_URL = "@PORTAL_URL@"
if PROBLEM_BASE:sub(1, 1) == "@" then
  PROBLEM_BASE = "/problems/"
end
if PORTAL_URL:sub(1, 1) == "@" then
  PORTAL_URL = ""
end

local TITLES = {
  [400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found",
  [405] = "Method Not Allowed", [408] = "Request Timeout", [410] = "Gone", [413] = "Content Too Large",
  [414] = "URI Too Long", [415] = "Unsupported Media Type", [426] = "Upgrade Required",
  [429] = "Too Many Requests", [431] = "Request Header Fields Too Large",
  [500] = "Internal Server Error", [502] = "Bad Gateway", [503] = "Service Unavailable",
  [504] = "Gateway Timeout",
}

local BY_STATUS = {
  [404] = { code = "API_NOT_FOUND", detail = "No API answers at this address. Check provider, API and version in the path." },
  [405] = { code = "METHOD_NOT_ALLOWED", detail = "The gateway does not accept this method." },
  [410] = { status = 410, code = "API_VERSION_SUNSET", detail = "This version of the API has been switched off. Use a newer version." },
  [413] = { code = "REQUEST_TOO_LARGE", detail = "The request body is larger than this API accepts." },
  [417] = { status = 413, code = "REQUEST_TOO_LARGE", detail = "The request body is larger than this API accepts." },
  [460] = { status = 403, code = "IP_BLOCKED", detail = "The provider does not accept calls from your address." }, -- ip-restriction
  [429] = { code = "RATE_LIMIT_EXCEEDED", detail = "The rate limit of your plan is used up. Wait as long as Retry-After says, or choose a larger plan." },
  [502] = { code = "PROXY_ERROR", detail = "The provider's server gave no valid answer. Try again; if it persists, tell the provider." },
  [503] = { code = "API_UNAVAILABLE", detail = "The provider's API cannot be reached at present. Try again later." },
  [504] = { code = "API_UNAVAILABLE", detail = "The provider's API did not answer in time. Try again later." },
}
local OTHER_CLIENT_ERROR = { code = "BAD_REQUEST", detail = "The gateway could not accept this request as it was sent." }
local OTHER_SERVER_ERROR = { code = "PROXY_ERROR", detail = "The gateway could not complete this request. Try again." }

local MISSING = { status = 401, code = "MISSING_API_KEY", detail = "Send your API key in the X-API-Key header." }
local INVALID = { status = 401, code = "INVALID_API_KEY", detail = "This is not a key of the marketplace. Check that it was copied whole." }
local REPEATED = { status = 401, code = "INVALID_API_KEY", detail = "More than one API key was sent. Send exactly one, in one header." }
local EXPIRED = { status = 401, code = "EXPIRED_API_KEY", detail = "This API key has expired. Make a new one, or rotate it." }
local REVOKED = { status = 401, code = "REVOKED_API_KEY", detail = "This API key has been revoked. Use another one of your keys." }
local QUOTA = { status = 429, code = "QUOTA_EXCEEDED", detail = "The quota of your plan is used up until the time in Retry-After. A larger plan lifts it at once." }
local FOREIGN = { status = 403, code = "SUBSCRIPTION_NOT_FOUND", detail = "This API key belongs to a subscription to another API. Subscribe to this one first." }
local INACTIVE = { status = 403, code = "SUBSCRIPTION_INACTIVE", detail = "The subscription of this API key is not active." }
local STOPS = {
  quota = QUOTA,
  past_due = { status = 403, code = "SUBSCRIPTION_INACTIVE", detail = "An invoice is past due. Paying it restores access by itself." },
  paused = { status = 403, code = "SUBSCRIPTION_INACTIVE", detail = "The subscription is paused. Resume it to go on." },
  canceled = { status = 403, code = "SUBSCRIPTION_INACTIVE", detail = "The subscription has been canceled. Subscribe again to go on." },
  pending = { status = 403, code = "SUBSCRIPTION_INACTIVE", detail = "The provider has not yet approved the subscription." },
}
local MAINTENANCE = { status = 503, code = "API_UNAVAILABLE", detail = "The provider is at work on this API. Come back as Retry-After says." }
local SUSPENDED = { status = 503, code = "API_UNAVAILABLE", detail = "The marketplace has suspended this API." }
local SCOPES_UNKNOWN = "This API key is restricted to scopes, and the API does not say which ones this endpoint needs. Use a key without restriction."
local SCOPES_MISSING = "This API key does not hold all the scopes that this endpoint needs: "

local REFUSALS = {
  malformed = INVALID, repeated = REPEATED, expired = EXPIRED,
  sunset = BY_STATUS[410], maintenance = MAINTENANCE, suspended = SUSPENDED,
}
-- seconds, where nobody named an end
local WAITS = { [MAINTENANCE] = 300, [SUSPENDED] = 3600 }

local function tag_value(tags, prefix)
  for _, tag in ipairs(tags or {}) do
    if tag:sub(1, #prefix) == prefix then
      return tag:sub(#prefix + 1)
    end
  end
  return nil -- and not nothing, which tonumber refuses
end

local function character(hex)
  return string.char(tonumber(hex, 16))
end

-- A restricted key at an endpoint that asks for more, or of which nobody knows what it asks for.
local function insufficient_scope()
  local route = kong.router.get_route()
  if not tag_value(route and route.tags, "scopes:") then
    return { status = 403, code = "INSUFFICIENT_SCOPE", detail = SCOPES_UNKNOWN }
  end
  local asked, words = {}, ""
  for _, tag in ipairs(route.tags) do
    if tag:sub(1, 6) == "scope:" then
      asked[#asked + 1] = (tag:sub(7):gsub("%%(%x%x)", character))
      words = (words == "" and "" or words .. " ") .. asked[#asked]
    end
  end
  return { status = 403, code = "INSUFFICIENT_SCOPE", detail = SCOPES_MISSING .. words .. ".", scopes = asked }
end

-- Why acl said no, from what kong-sync wrote on the consumer.
local function forbidden()
  local consumer = kong.client.get_consumer()
  if not consumer then
    return INVALID
  end
  local status = tag_value(consumer.tags, "status:")
  if status == "revoked" then
    return REVOKED
  elseif status == "expired" then
    return EXPIRED
  end
  local service = kong.router.get_service()
  local here, theirs = tag_value(service and service.tags, "api:"), tag_value(consumer.tags, "api:")
  if here and theirs ~= here then
    return FOREIGN
  end
  local stop = tag_value(consumer.tags, "stop:")
  if stop == "quota" then
    local lifted_at = tonumber(tag_value(consumer.tags, "until:"))
    return QUOTA, lifted_at, tag_value(consumer.tags, "subscription:")
  end
  if not stop and tag_value(consumer.tags, "scope:") then
    return insufficient_scope()
  end
  return STOPS[stop] or INACTIVE
end

local function problem_of(status)
  local refusal = REFUSALS[kong.ctx.shared.marketplace_refusal]
  if kong.ctx.shared.marketplace_refusal == "scope" then
    return insufficient_scope()
  elseif refusal then
    return refusal
  elseif status == 401 then
    return kong.ctx.shared.marketplace_key_presented and INVALID or MISSING
  elseif status == 403 then
    return forbidden()
  elseif BY_STATUS[status] then
    return BY_STATUS[status]
  end
  return status < 500 and OTHER_CLIENT_ERROR or OTHER_SERVER_ERROR
end

local function quoted(text)
  text = text:gsub('[%c"\\]', function(c)
    return ("\\u%04x"):format(c:byte())
  end)
  return '"' .. text .. '"'
end

local function render(problem, status, request_id, upgrade_url)
  local title = TITLES[status] or "Error"
  local slug = problem.code:lower():gsub("_", "-")
  local text = '{"type":' .. quoted(PROBLEM_BASE .. slug) .. ',"title":' .. quoted(title)
    .. ',"status":' .. status .. ',"detail":' .. quoted(problem.detail) .. ',"code":' .. quoted(problem.code)
    .. ',"request_id":' .. quoted(request_id)
  if problem.scopes then
    local scopes = ""
    for _, scope in ipairs(problem.scopes) do
      scopes = scopes .. (scopes == "" and "" or ",") .. quoted(scope)
    end
    text = text .. ',"required_scopes":[' .. scopes .. "]"
  end
  if upgrade_url then
    text = text .. ',"upgrade_url":' .. quoted(upgrade_url)
  end
  return text .. "}"
end

local WINDOWS = { { "second", 1 }, { "minute", 60 }, { "hour", 3600 }, { "day", 86400 } }

-- The window with the fewest calls left, on a tie the longest: that one decides when calls work again.
local function tightest_window(headers)
  local limit, remaining, seconds
  for _, window in ipairs(WINDOWS) do
    local left = tonumber(headers["x-ratelimit-remaining-" .. window[1]])
    if left and (not remaining or left <= remaining) then
      limit, remaining, seconds = tonumber(headers["x-ratelimit-limit-" .. window[1]]), left, window[2]
    end
  end
  if limit then
    return limit, remaining, seconds - ngx.time() % seconds -- Kong's windows are aligned to the calendar in UTC
  end
end

local function add_marketplace_headers(response, request_id)
  local elapsed = ngx.now() - ngx.req.start_time()
  response.set_header("X-Request-Id", request_id)
  response.set_header("X-Response-Time", ("%.0fms"):format(elapsed > 0 and elapsed * 1000 or 0))
  local limit, remaining, reset = tightest_window(response.get_headers())
  if limit then
    response.set_header("X-RateLimit-Limit", ("%.0f"):format(limit))
    response.set_header("X-RateLimit-Remaining", ("%.0f"):format(remaining))
    response.set_header("X-RateLimit-Reset", ("%.0f"):format(reset))
  end
end

-- RFC 9745 and RFC 8594, from the service's tags: deprecated:<unix>, sunset:<unix> (0 when no time was named),
-- successor:<version>. The path begins with provider and API: that is what the route matched.
local function add_lifecycle_headers(response)
  local service = kong.router.get_service()
  local tags = service and service.tags
  local deprecated, sunset = tag_value(tags, "deprecated:"), tonumber(tag_value(tags, "sunset:"))
  if deprecated then
    response.set_header("Deprecation", "@" .. deprecated)
  end
  if sunset and sunset > 0 then
    response.set_header("Sunset", ngx.http_time(sunset))
  end
  local successor = tag_value(tags, "successor:")
  local path = successor and kong.request.get_path():match("^/[%w-]+/[%w-]+")
  if path then
    response.add_header("Link", "<" .. path .. "/" .. successor .. '>; rel="successor-version"')
  end
end

-- Where the plan names a header (consumer tag units:<name>), the provider says in it what the call was worth. It goes into
-- the log entry, where metering reads it, and no further. Anything but a whole number says nothing.
local MAX_UNITS = 1000000000

local function take_units(response)
  local consumer = kong.client.get_consumer()
  local name = tag_value(consumer and consumer.tags, "units:")
  if not name then
    return
  end
  local reported = response.get_header(name)
  response.clear_header(name)
  if reported and reported:find("^%d+$") and response.get_source() == "service" then
    kong.log.set_serialize_value("usage_units", math.min(tonumber(reported), MAX_UNITS))
  end
end

return function()
  local response = kong.response
  local request_id = ngx.var.kong_request_id or ""
  add_marketplace_headers(response, request_id)
  add_lifecycle_headers(response)
  take_units(response)

  local status = response.get_status()
  if response.get_source() == "service" or status < 400 then
    return -- the provider's own answer, or a CORS preflight
  end
  local problem, lifted_at, subscription = problem_of(status)
  status = problem.status or status

  local upgrade_url
  if WAITS[problem] then
    local service = kong.router.get_service()
    local reopens_at = tonumber(tag_value(service and service.tags, "maintenance:")) or 0
    local wait = reopens_at > 0 and reopens_at - ngx.time() or WAITS[problem]
    response.set_header("Retry-After", ("%.0f"):format(wait > 1 and wait or 1))
  elseif problem == QUOTA then
    local wait = lifted_at and lifted_at - ngx.time() or 0
    response.set_header("Retry-After", ("%.0f"):format(wait > 1 and wait or 1))
    if PORTAL_URL ~= "" and subscription then
      upgrade_url = PORTAL_URL .. "/subscriptions/" .. subscription .. "/plans"
    end
  elseif status == 401 and not response.get_header("WWW-Authenticate") then
    response.set_header("WWW-Authenticate", "Key")
  end
  response.set_status(status)
  response.clear_header("Content-Length")
  response.set_header("Content-Type", "application/problem+json")
  response.set_header("X-Error-Code", problem.code)
  kong.ctx.plugin.problem = render(problem, status, request_id, upgrade_url)
end
