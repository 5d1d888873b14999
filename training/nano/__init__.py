"""Nano, R1's architecture at 25 MB: its tasks, its training, and how its answers are scored."""
