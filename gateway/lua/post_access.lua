-- post-function, access phase: a key past its expiry is refused although its credential still exists, and so is a
-- call to a version that was switched off which cors took for no preflight.
--
-- The expiry is the credential's tag `exp:<unix seconds>`. Kong's own `ttl` would delete the row, and
-- could then only say "invalid".

return function()
  if kong.ctx.shared.marketplace_refusal == "sunset" then
    return kong.response.exit(410, { message = "This version has been switched off" })
  end
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
