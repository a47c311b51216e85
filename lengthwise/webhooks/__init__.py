"""What webhooks are: targets, conditions, subscriptions and secrets; nothing is sent from here."""
