"""Floor 2. Op families: the reference in plain PyTorch, the accelerated versions, the choice between them."""
