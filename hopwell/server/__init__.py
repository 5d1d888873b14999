"""Floor 7. The OpenAI-compatible HTTP API. Never touches tensors."""
