"""What clients send and get, as pydantic models: one file an API. A field that is not here is refused by name."""
