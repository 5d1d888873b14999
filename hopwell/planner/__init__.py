"""Floor 6. What hardware that is not at hand would do: predictions with bands, ranked, priced; upgrades."""
