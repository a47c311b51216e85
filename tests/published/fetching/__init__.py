"""What is fetched from the hub, and what goes wrong on the way."""
