"""Floor 5. Calibrate, compensate, allocate, convert a checkpoint."""
