"""Floor 7. The HTTP API: OpenAI's and Anthropic's surfaces, metrics and the chat page. Never touches tensors."""
