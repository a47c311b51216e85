"""Brings models from the forms in which they are published into the one that the engine loads."""
