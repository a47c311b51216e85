"""Webhook endpoints, their deliveries, and what may be done with them, as the API offers it."""
