"""Jobs: submitted, cancelled, retried and forgotten."""
