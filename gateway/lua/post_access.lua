-- post-function, access phase: a key past its expiry is refused although its credential still exists.
--
-- The expiry is the credential's tag `exp:<unix seconds>`. Kong's own `ttl` would delete the row, and
-- could then only say "invalid".

return function()
  local credential = kong.client.get_credential()
  if not credential or not credential.tags then
    return
  end
  for _, tag in ipairs(credential.tags) do
    local expires_at = tonumber(tag:match("^exp:(%d+)$"))
    if expires_at and ngx.time() >= expires_at then
      kong.ctx.shared.marketplace_refusal = "expired"
      return kong.response.exit(401, { message = "Expired authentication credentials" })
    end
  end
end
