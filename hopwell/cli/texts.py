"""Text that conversions are fitted to and judged on: a file's, nano's own problems, or what a model itself writes."""

from __future__ import annotations

import json
from pathlib import Path

TOKENS = 32_768
"""Of a model's own text, at least."""
SAMPLE_TOKENS = 512
"""Of one text that a model writes."""
CALIBRATION, HELD_OUT = "calibration.json", "held_out.json"
"""Of nano, in its folder `text`: lists of worked problems. Training has seen the like of the first and never the like
of the second; `python -m training.nano.text` writes both."""


def sequences_of(source: Path, text: Path | None, seed: int, fresh: bool) -> list[list[int]]:
    """Tokens of a text file, or of the model's own kind of text.

    Args:
        source: the checkpoint's folder.
        text: the file; None: worked problems for nano and whatever has its tokenizer, else what the model writes.
        seed: of what the model writes.
        fresh: of nano's problems, those that nothing was fitted to.

    Raises:
        HopwellError: the file cannot be read, or is too short.
    """
    from hopwell.cli.console import read_text
    from hopwell.engine.tokenizer import Tokenizer
    from hopwell.quantization.plan import cut_sequences

    if text is None:
        if not knows_nanos_tokens(source):
            return sampled(source, TOKENS, seed)
        tokenizer = Tokenizer.open(source)
        return [tokenizer.encode(problem, special=False) for problem in nanos_problems(fresh)]
    return cut_sequences(Tokenizer.open(source).encode(read_text(text)), str(text))


def knows_nanos_tokens(folder: Path) -> bool:
    """Whether a checkpoint has nano's tokenizer: its own kind of text is nano's then."""
    from hopwell.model import NANO

    own = folder / "tokenizer.json"  # Kimi-K2 has another file in its place
    return own.is_file() and own.read_bytes() == (NANO / own.name).read_bytes()


def nanos_problems(fresh: bool) -> list[str]:
    """Worked problems in nano's own format, special tokens written out: `TOKENS` of them or more."""
    from hopwell.model import NANO

    return json.loads((NANO / "text" / (HELD_OUT if fresh else CALIBRATION)).read_text(encoding="utf-8"))


def sampled(folder: Path, tokens: int, seed: int) -> list[list[int]]:
    """What a model writes unprompted at temperature 1, at least `tokens` tokens of it."""
    from hopwell.cli.progress import count_progress
    from hopwell.engine.llm import LLM
    from hopwell.engine.request import SamplingParams

    llm = LLM(folder)
    first = llm.loaded.model.config.bos_token_id or 0
    count = -(-tokens // SAMPLE_TOKENS)
    params = [
        SamplingParams(max_tokens=SAMPLE_TOKENS - 1, ignore_eos=True, seed=seed * count + i) for i in range(count)
    ]
    total = count * (SAMPLE_TOKENS - 1)
    with count_progress("Writing text", aloud=True) as progress:
        done = llm.generate([[first]] * count, params, lambda written: progress(written, total, ""))
    llm.close()
    return [[first, *completion.answers[0].tokens] for completion in done]
