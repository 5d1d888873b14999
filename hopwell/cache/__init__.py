"""Floor 5. The latent page pool, the prefix tree, eviction policies. Knows nothing of models."""
