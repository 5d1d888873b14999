"""What keeps a model from the chain of kernels, and the check of a GPU's kernels before it serves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

from hopwell.bench.models import bench_config
from hopwell.engine.graphs import dummy_batch
from hopwell.formats.matrices import Plain
from hopwell.model import kernel_check, product_check
from hopwell.model.forward_choice import unsuited
from hopwell.model.fused import FusedTransformer
from hopwell.model.kernel_check import kernel_fault
from hopwell.model.quantization import Quantization
from hopwell.model.random_weights import random_transformer
from hopwell.model.settings import ModelSettings
from hopwell.model.shape_classes import LONG, Lengths, eager_batches
from hopwell.model.transformer import MoE, Transformer
from hopwell.ops import attention_decode_triton, attention_triton, device, linear_choice, triton_common
from hopwell.ops.device import HOPPER, Device, target
from hopwell.ops.router import RouterConfig
from hopwell.ops.weight import Weight

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def model(name: str = "r1-tp8", **changes: object) -> Transformer:
    config = bench_config(name, layers=2)
    small = {
        "vocab_size": 160, "hidden_size": 256, "intermediate_size": 128, "moe_intermediate_size": 128,
        "n_routed_experts": 8, "num_attention_heads": 3, "q_lora_rank": 128 if config.q_lora_rank else None,
        "max_position_embeddings": 512, "router": RouterConfig(2, 4, 2, "sigmoid", True, 2.5), **changes,
    }  # fmt: skip
    return random_transformer(replace(config, **small), DEVICE, seed=3, packed=True)


def in_four_bits(label: str, plain: str = "lm_head") -> dict[str, object]:
    """Changes of a config: all linears in a format but those whose names match."""
    return {"quantization": Quantization("modelopt", label, ignored=re.compile(plain)), "weight_block_size": None}


@pytest.mark.parametrize(
    ("changes", "joined"),
    [
        pytest.param(in_four_bits("nvfp4"), True, id="all-nvfp4"),
        pytest.param(in_four_bits("mxfp4", r"lm_head|.*self_attn"), True, id="mxfp4-but-attention"),
        pytest.param(in_four_bits("int4_g32", r"lm_head|.*self_attn|.*shared"), False, id="int4-experts-alone"),
    ],
)
@pytest.mark.slow
def test_packed_weights_in_the_chain(
    small_gpu: None, kernels_everywhere: None, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], joined: bool
) -> None:
    """Whole layers by kernels and in plain PyTorch from the same packed weights; the long products once more."""
    small = ModelSettings(four_bits="packed").of(model(**changes))
    network = small.layers[1].network
    assert isinstance(network, MoE) and network.joined is not None and network.shared is not None
    assert network.experts.gate_up.is_packed and bool(network.joined.shared) == joined
    assert network.experts.gate_up.format.name == changes["quantization"].default  # type: ignore[attr-defined]
    monkeypatch.setattr(kernel_check, "CASES", SMALL[:1])
    monkeypatch.setattr(kernel_check, "LONG", FEW_ROWS)
    assert kernel_fault(FusedTransformer(small), FEW_ROWS) is None


@pytest.fixture
def kernels_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ops take their kernels as on a GPU, so that the check has something to check in the interpreter too."""
    monkeypatch.setattr(device, "on_gpu", lambda x: not device._plain_only.get())
    yield


FEW_ROWS = 20
"""In place of `LONG`: the path of long steps, with as many rows as the interpreter takes seconds for."""
SMALL = (([1], [90]), ([1, FEW_ROWS], [77, FEW_ROWS + 10]))
"""hazard: of some lengths a token's experts are near ties, which another CPU's rounding decides otherwise."""


@pytest.mark.parametrize(
    ("name", "cache", "cases", "activations"),
    [
        pytest.param("r1-tp8", "auto", SMALL, None, id="r1"),
        pytest.param("r1-tp8", "auto", SMALL, "bf16", id="r1-bf16-rows"),
        pytest.param("v2-lite", "fp8", SMALL[:1], None, id="v2-lite-fp8-cache"),
        pytest.param("r1-tp8", "auto", kernel_check.CASES[1::2], None, id="r1-as-served", marks=pytest.mark.slow),
        pytest.param("v2-lite", "fp8", kernel_check.CASES[1:2], None, id="fp8-as-served", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_every_op_of_a_forward_pass_by_kernels_and_without(
    small_gpu: None,
    kernels_everywhere: None,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    cache: str,
    cases: Sequence[Lengths],
    activations: str | None,
) -> None:
    """An odd number of heads, a latent of 512, steps for graphs and steps run op by op; then one kernel goes wrong."""
    small = ModelSettings(cache_dtype=cache, activations=activations).of(model(name))
    monkeypatch.setattr(kernel_check, "CASES", cases)
    if all(max(lengths) < LONG for _, lengths in cases):
        monkeypatch.setattr(kernel_check, "LONG", FEW_ROWS)
    fused = FusedTransformer(small)
    assert kernel_fault(fused) is None

    monkeypatch.setattr(attention_triton, "decode", stale_pages)
    assert "attention are" in (kernel_fault(fused) or "")


def stale_pages(queries: torch.Tensor, latent: torch.Tensor, page_table: torch.Tensor, *rest: object) -> object:
    """What a ring of pages too short for its loads would do: another page in the place of every second one."""
    table = page_table.clone()
    table[:, 1::2] = table[:, :1]
    return attention_decode_triton.decode(queries, latent, table, *rest)  # type: ignore[arg-type]


def test_products_of_long_steps_are_computed_again(kernels_everywhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = FEW_ROWS
    monkeypatch.setattr(kernel_check, "CASES", [])
    monkeypatch.setattr(kernel_check, "LONG", rows)
    fused = FusedTransformer(model())
    assert kernel_fault(fused, rows) is None
    for part, wrong in (("product", "rows of"), ("experts_down", "experts' rows of")):
        right = getattr(product_check, part)
        monkeypatch.setattr(product_check, part, lambda *a, right=right, **k: right(*a, **k).roll(1, -1))
        assert f"with {rows} rows, {wrong}" in (kernel_fault(fused, rows) or "")
        monkeypatch.setattr(product_check, part, right)


def test_nothing_is_compiled_for_the_check_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Hopper, where long products have kernels of their own, also in their smallest classes."""
    hopper = Device("Hopper", 90, 1)
    monkeypatch.setattr(linear_choice, "PERSISTENT_LEAST_REDUCTION", 128)
    monkeypatch.setattr(torch, "empty", torch.zeros)  # kernels are recorded and write nothing
    monkeypatch.setattr(kernel_check, "_fault", lambda *_: None)
    fused, longest = FusedTransformer(model()), 300
    latent = fused.model.new_latent(8)

    def serve() -> None:
        for query_lens, seq_lens in eager_batches(fused.model.config, longest, hopper):
            fused.forward_long(dummy_batch(query_lens, seq_lens, "cpu"), latent)

    served = launches(serve, hopper)
    checked = launches(lambda: kernel_check._products_fault(fused, longest), hopper)
    assert {name for name, _, _ in checked} >= {"_rows_by_weights", "_sort"}
    assert checked <= served


def launches(
    run: Callable[[], object], device: Device
) -> set[tuple[str, tuple[object, ...], tuple[tuple[str, object], ...]]]:
    """What a run would compile: kernels, their arguments' types, their constants."""
    found = set()

    def take(kernel: Any, _: object, args: tuple[object, ...], constants: dict[str, object], options: object) -> None:
        types = tuple(getattr(arg, "dtype", None if arg is None else type(arg)) for arg in args)
        found.add((kernel.__name__, types, (*constants.items(), ("options", str(options)))))

    token, aim = triton_common.launcher.set(take), target.set(device)
    try:
        run()
    finally:
        triton_common.launcher.reset(token)
        target.reset(aim)
    return found


def test_what_the_chain_cannot_compute_is_said() -> None:
    assert unsuited(model()) is None
    assert unsuited(model("v2-lite", moe_intermediate_size=192)) is None  # bf16: in steps of 64
    assert "no multiple of 64 wide" in (unsuited(model("v2-lite", moe_intermediate_size=96)) or "")
    assert "heads are 96/64/128" in (unsuited(model(qk_nope_head_dim=96)) or "")
    assert "3 groups" in (unsuited(model(router=RouterConfig(2, 3, 2), n_routed_experts=9)) or "")
    mixed = model()
    network = mixed.layers[1].network
    assert isinstance(network, MoE) and network.shared is not None
    shared = replace(network.shared, down=Weight(Plain(network.shared.down.dequantize(torch.bfloat16))))
    mixed.layers[1] = replace(mixed.layers[1], network=replace(network, shared=shared))
    assert unsuited(mixed) is None  # of another format than the routed ones, it is a network of its own
    shared = replace(network.shared, down=Weight(Plain(network.shared.down.dequantize(torch.float32))))
    mixed.layers[1] = replace(mixed.layers[1], network=replace(network, shared=shared))
    assert "a shared expert's matrix [256, 128] is in float32" in (unsuited(mixed) or "")
    wide = model("v2-lite")
    a = wide.layers[0].attention
    wide.layers[0] = replace(wide.layers[0], attention=replace(a, o=Weight(Plain(a.o.data.float()))))
    assert "in float32" in (unsuited(wide) or "")


def test_few_steps_reach_every_class() -> None:
    config = bench_config("r1-tp8")
    steps = eager_batches(config, 16384, HOPPER)
    assert all(sum(new) >= LONG for new, _ in steps) and len(steps) < 20
    assert max(sum(new) for new, _ in steps) == 16384  # the longest step itself
    assert eager_batches(config, 100, HOPPER) == []


@pytest.mark.parametrize(
    ("case", "wrong_draws", "found"),
    [
        (([1], [150]), 3, False),  # a near tie of the router's, of one token
        (([1], [150]), 4, True),
        (([3, 17], [90, 17]), 1, True),  # of so many tokens no tie is a third
    ],
)
def test_a_near_tie_is_no_fault(monkeypatch: pytest.MonkeyPatch, case: Lengths, wrong_draws: int, found: bool) -> None:
    def chain(
        model: Transformer, few: FusedTransformer, query_lens: list[int], seq_lens: list[int], draw: int
    ) -> object:
        return "hidden states are 0.36 off the reference" if draw < wrong_draws else None

    monkeypatch.setattr(kernel_check, "CASES", (case,))
    monkeypatch.setattr(kernel_check, "_attention_fault", lambda *_: None)
    monkeypatch.setattr(kernel_check, "_chain_fault", chain)
    fault = kernel_fault(FusedTransformer(model("r1-tp8")))
    tokens = [kernel_check._batch(model("r1-tp8"), *case, draw)[0].tokens.tolist() for draw in range(4)]
    assert len({tuple(some) for some in tokens}) == 4, "draws differ"
    assert (fault is not None and "0.36" in fault) == found
