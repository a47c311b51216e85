"""What operators look after: keys, tenants, usage, models and health."""
