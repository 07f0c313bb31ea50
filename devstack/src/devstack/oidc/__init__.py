"""An OpenID Connect issuer for development: anybody signs in with any password, the tokens are real."""
