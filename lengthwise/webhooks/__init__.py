"""Targets, conditions, subscriptions and secrets of webhooks. Nothing here sends anything."""
