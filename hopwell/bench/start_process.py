"""The processes that `start.py` times: this file imports nothing before their clocks run."""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise

PHASES = ("torch_s", "import_s", "load_s", "weights_s", "first_token_s", "after_torch_s", "total_s")
QUESTION = [{"role": "user", "content": "What is 37 * 43?"}]
SIDES = ("hopwell", "safetensors")


def hopwell(model: str | None, device: str, started: float) -> list[float]:
    """An engine, up to its first token; returns the values of `PHASES`."""
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
    return [torch_s, import_s, load_s, weights_s, first_token_s, times[-1] - times[1], times[-1] - times[0]]


def safetensors(folder: str, device: str, started: float) -> list[float | None]:
    """Every tensor of a folder, by safetensors' own loader, in a device's memory: what any engine has to do that uses
    it. On a CPU they are copied out of what is mapped, or nothing would have been read."""
    from pathlib import Path

    import torch

    times = [started, time.time()]
    from safetensors import safe_open

    times.append(time.time())
    where = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    tensors = []
    for path in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(path, "pt", device=where) as file:
            names = file.keys()
            tensors += [file.get_tensor(name).clone() if where == "cpu" else file.get_tensor(name) for name in names]
    if where != "cpu":
        torch.cuda.synchronize()
    times.append(time.time())
    torch_s, import_s, load_s = (after - before for before, after in pairwise(times))
    return [torch_s, import_s, load_s, load_s, None, None, times[-1] - times[0]]


if __name__ == "__main__":
    side, model, device, started = json.loads(sys.argv[1])
    values = (hopwell if side == SIDES[0] else safetensors)(model, device, started)
    print(json.dumps({name: value and round(value, 3) for name, value in zip(PHASES, values, strict=True)}))
