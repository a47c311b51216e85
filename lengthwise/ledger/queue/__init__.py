"""The queue of shards: turns, claims, leases, settlement and the sweep."""
