"""Floor 4. Chat templates and streaming parsers. Never imports torch."""
