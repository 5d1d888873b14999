"""Floor 3. Several GPUs, or processes on a CPU: who holds what, what they say to each other, how they start and end."""
