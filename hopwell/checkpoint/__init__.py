"""Floor 3. Open, verify, stream, write and synthesise checkpoints."""
