"""Who may send requests, and how many: keys, tenants and rate limits."""
