"""Floor 7. Benches whose every row has its limit beside it."""
