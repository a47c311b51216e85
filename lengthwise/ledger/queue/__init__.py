"""The shards that wait or run: fair queueing, claims, leases, settlement and the sweep."""
