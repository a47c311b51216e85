"""Keys, tenants, and what they used, as /v1/keys, /v1/tenants and /v1/usage have them."""
