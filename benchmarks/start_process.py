"""The process that `start.py` times: it imports nothing before its clock runs."""

from __future__ import annotations

import json
import time
from itertools import pairwise

PHASES = ("torch_s", "import_s", "load_s", "weights_s", "first_token_s", "after_torch_s", "total_s")
QUESTION = [{"role": "user", "content": "What is 37 * 43?"}]


def child(model: str | None, device: str, started: float) -> None:
    """Prints how long each phase of this process took; `started` is when its parent began to start it."""
    import torch  # noqa: F401  # the phase that is not ours

    times = [started, time.time()]
    from hopwell.engine.llm import LLM
    from hopwell.engine.request import SamplingParams

    times.append(time.time())
    llm = LLM(model, device=device, max_seqs=1)
    times.append(time.time())
    next(iter(llm.stream(llm.render(QUESTION), SamplingParams(temperature=0.0))))
    times.append(time.time())
    torch_s, import_s, load_s, first_token_s = (after - before for before, after in pairwise(times))
    weights_s = llm.loaded.phases["weights"]
    values = (torch_s, import_s, load_s, weights_s, first_token_s, times[-1] - times[1], times[-1] - times[0])
    print(json.dumps({name: round(value, 3) for name, value in zip(PHASES, values, strict=True)}))
