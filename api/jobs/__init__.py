"""Jobs over HTTP: taking them in, looking at them, and giving out their results."""
