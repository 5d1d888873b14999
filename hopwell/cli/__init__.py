"""Floor 8. The `hopwell` command: parse, call, print."""
