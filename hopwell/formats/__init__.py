"""Floor 1. Number formats: encode, decode, pack."""
