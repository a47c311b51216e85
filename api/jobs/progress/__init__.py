"""Why a job is not done, and what failed: as the API says it."""
