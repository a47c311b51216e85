"""Who may call, and how much: tenants, keys, request rates and usage."""
