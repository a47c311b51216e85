"""The whole system on one machine: processes, servers and the secrets that they share."""
