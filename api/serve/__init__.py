"""The HTTP server: uvicorn, with limits on everything that precedes a body. Knows no route and no key."""
