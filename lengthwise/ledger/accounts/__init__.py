"""Tenants, keys, rates and usage."""
