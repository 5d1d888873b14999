"""Floor 6. Requests, scheduling, running, sampling: the `LLM`."""
