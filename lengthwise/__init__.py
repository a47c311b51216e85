"""The shared floor of lengthwise: settings, states, kinds, the queue and the ledger; no torch, no web framework."""
