"""Delivery of webhooks: claim, sign, post, record."""
