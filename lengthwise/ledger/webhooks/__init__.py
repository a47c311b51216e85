"""Webhooks: events, endpoints, deliveries and their secrets."""
