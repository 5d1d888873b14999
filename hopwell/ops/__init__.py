"""Floor 2. One file per op family: the reference in plain PyTorch, the accelerated versions, the choice between them."""
