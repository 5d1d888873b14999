"""Nano's tokenizer: byte-level BPE on the training text, digits and signs one by one, R1's special tokens and template.

python -m training.nano.tokenizer        # rewrites tokenizer.json and its companions in hopwell/model/nano
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from hopwell.model import NANO
from training.nano.tasks import Draws, training_problem
from training.nano.tasks.render import BOS, EOS, PAD, SPECIAL_TOKENS, examples

VOCABULARY = 1024
PROBLEMS = 60_000
SINGLE = r"[0-9]|[-+*/=()\[\]{},.:|<>?]"
"""Characters that are always a token of their own: a number is its digits, whatever surrounds it."""


def texts(seed: int = 0) -> Iterator[str]:
    """Training text without its special tokens."""
    rng = Draws(seed)
    for _ in range(PROBLEMS):
        for prompt, completion in examples(training_problem(rng)):
            text = prompt + completion
            for token in SPECIAL_TOKENS:
                text = text.replace(token, "\n\n")
            yield text


def train() -> Tokenizer:
    """The tokenizer, the same on every run: text and merges follow from the seed."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SINGLE), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def main() -> None:
    tokenizer = train()
    assert tokenizer.get_vocab_size() == VOCABULARY
    tokenizer.save(str(NANO / "tokenizer.json"))
    config = {
        "add_bos_token": False,
        "add_eos_token": False,
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        "legacy": True,
        "model_max_length": 16384,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8").rstrip("\n"),
    }
    (NANO / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")
    generation = {"bos_token_id": 0, "eos_token_id": 1, "do_sample": True, "temperature": 0.6, "top_p": 0.95}
    (NANO / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
