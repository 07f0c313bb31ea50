-- A stand-in for Kong's development kit without a request behind it: what our functions read is fixed, the rest is nil.

return function(host, key)
  local nothing
  nothing = setmetatable({}, {
    __index = function() return nothing end, __call = function() return nothing end,
    __concat = function() return "" end, __tostring = function() return "" end,
  })
  local function open(known) return setmetatable(known, { __index = function() return nothing end }) end
  local request_headers, answer_headers = {}, {}
  local tags = { tags = { "api:A", "epoch:1", "org:O", "subscription:S", "plan:P", "mode:live" } }
  local consumer
  local ctx = { shared = {}, plugin = {} }
  local kong = open {
    ctx = ctx,
    request = open { get_headers = function() return request_headers end, get_path = function() return "/a/b/v1/x" end,
      get_header = function(name) return request_headers[name:lower()] end },
    service = open { request = open {
      set_header = function(name, value) request_headers[name:lower()] = value end,
      clear_header = function(name) request_headers[name:lower()] = nil end } },
    client = open { get_consumer = function() return consumer end, get_credential = function() return consumer end },
    router = open { get_service = function() return tags end, get_route = function() return tags end },
    response = open {
      get_status = function() return ctx.status end,
      get_source = function() return ctx.status == 200 and "service" or "exit" end,
      get_headers = function() return answer_headers end,
      get_header = function(name) return answer_headers[name:lower()] end,
      set_header = function(name, value) answer_headers[name:lower()] = value end,
      clear_header = function(name) answer_headers[name:lower()] = nil end,
      set_status = function(status) ctx.status = status end,
      exit = function(status) ctx.status = status end },
    vault = open { get = function() return "a master secret" end },
  }
  local ngx = open {
    var = { kong_request_id = ("0"):rep(32) }, arg = {}, crc32_long = host.crc32, encode_base64 = host.base64,
    time = os.time, now = os.time, req = open { start_time = os.time },
  }
  local modules = open {
    ["resty.sha256"] = { new = function()
      local text = ""
      return { update = function(_, more) text = text .. more end, final = function() return host.digest_hex(text) end }
    end },
    ["resty.string"] = { to_hex = tostring },
    ["resty.openssl.hmac"] = { new = function(secret)
      return { final = function(_, message) return host.hmac(secret, message) end }
    end },
  }
  local world = setmetatable({ kong = kong, ngx = ngx, require = function(name) return modules[name] end },
    { __index = _G })
  local function compile(code) return assert(load(code, "=bench", "t", world))() end
  local function run(functions, status, times)
    for _ = 1, times do
      request_headers = { ["x-api-key"] = key, accept = "*/*", host = "gateway.example" }
      answer_headers = { ["x-ratelimit-remaining-minute"] = "9", ["x-ratelimit-limit-minute"] = "10" }
      ctx.shared, ctx.plugin, ctx.status = {}, {}, status
      consumer = status == 200 and tags or nil
      ngx.arg[1], ngx.arg[2] = "{}", true
      for i = 1, #functions do functions[i]() end
    end
    return ctx.plugin.problem
  end
  return compile, run
end
