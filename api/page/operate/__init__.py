"""The rooms of whoever operates the installation: its workers and its models. No other tenant sees them."""
