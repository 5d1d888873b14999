"""Floor 0. The hardware catalogue, the cost of ops, measured ceilings, power and energy."""
