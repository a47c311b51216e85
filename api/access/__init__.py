"""Who may ask, and how often: keys, tenants and rates."""
