"""Reads models: finds their files, checks them against the manifest, and brings the weights into memory."""
