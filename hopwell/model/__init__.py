"""Floor 4. Config, MLA, MoE, MTP and the forward pass, in terms of ops."""
