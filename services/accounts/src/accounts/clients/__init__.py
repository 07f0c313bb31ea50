"""What lies outside: the OIDC issuer and the key that signs."""
