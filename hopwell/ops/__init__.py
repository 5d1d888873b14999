"""Floor 2. Op families: the reference in plain PyTorch, the accelerated versions, the choice between them."""

import os

# PyTorch keeps what it compiles for each shape of a product on a CPU: 1,024 in oneDNN, and as many again a thread.
# Attention meets a new shape in almost every step, so that comes to gigabytes, for shapes that rarely come again. With
# 128 nothing was slower. Both are read when a product first runs.
for _name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_name, "128")
