"""Generation: claim, plan, generate, settle, around an engine that stays loaded."""
