"""What keeps a model from the chain of kernels, and the check of a GPU's kernels before it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

pytest.importorskip("triton")

from hopwell.bench.models import bench_config, random_transformer
from hopwell.engine.graphs import dummy_batch
from hopwell.model import kernel_check, product_check
from hopwell.model.activations import use_activations
from hopwell.model.decode import Decoder, unsuited
from hopwell.model.kernel_check import kernel_fault
from hopwell.model.latent_cache import use_cache
from hopwell.model.shape_classes import LONG, eager_batches
from hopwell.model.transformer import MoE, Transformer
from hopwell.ops import attention, attention_triton, linear, mla_triton, moe, product_gluon, triton_common
from hopwell.ops.linear import Weight
from hopwell.ops.router import RouterConfig

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def model(name: str = "r1-tp8", **changes: object) -> Transformer:
    config = bench_config(name, layers=2)
    small = {
        "vocab_size": 160, "hidden_size": 256, "intermediate_size": 128, "moe_intermediate_size": 128,
        "n_routed_experts": 8, "num_attention_heads": 3, "q_lora_rank": 128 if config.q_lora_rank else None,
        "max_position_embeddings": 512, "router": RouterConfig(2, 4, 2, "sigmoid", True, 2.5), **changes,
    }  # fmt: skip
    return random_transformer(replace(config, **small), DEVICE, seed=3)


@pytest.fixture
def kernels_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ops take their kernels as on a GPU, so that the check has something to check in the interpreter too."""
    for module in (linear, attention, moe):
        monkeypatch.setattr(module, "on_gpu", lambda x: not linear._plain_only.get())
    yield


@pytest.mark.parametrize(
    ("name", "cache", "cases", "activations"),
    [("r1-tp8", "auto", (1, 3), None), ("r1-tp8", "auto", (1, 3), "bf16"), ("v2-lite", "fp8", (1,), None)],
    ids=["r1", "r1-bf16-rows", "v2-lite-fp8-cache"],
)
def test_every_op_of_a_forward_pass_by_kernels_and_without(
    kernels_everywhere: None,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    cache: str,
    cases: tuple[int, ...],
    activations: str | None,
) -> None:
    """An odd number of heads, a latent of 512, steps for graphs and steps run op by op; then one kernel goes wrong."""
    small = model(name)
    use_cache(small, cache)
    use_activations(small, activations)
    monkeypatch.setattr(kernel_check, "CASES", [kernel_check.CASES[i] for i in cases])
    decoder = Decoder.of(small)
    assert kernel_fault(decoder) is None

    monkeypatch.setattr(attention_triton, "decode", stale_pages)
    assert "attention are" in (kernel_fault(decoder) or "")


def stale_pages(queries: torch.Tensor, latent: torch.Tensor, page_table: torch.Tensor, *rest: object) -> object:
    """What a ring of pages too short for its loads would do: another page in the place of every second one."""
    table = page_table.clone()
    table[:, 1::2] = table[:, :1]
    return mla_triton.decode(queries, latent, table, *rest)  # type: ignore[arg-type]


def test_products_of_long_steps_are_computed_again(kernels_everywhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_check, "CASES", [])
    decoder = Decoder.of(model())
    assert kernel_fault(decoder, LONG) is None
    for part, wrong in (("product", "rows of"), ("experts_down", "experts' rows of")):
        right = getattr(product_check, part)
        monkeypatch.setattr(product_check, part, lambda *a, right=right, **k: right(*a, **k).roll(1, -1))
        assert f"with {LONG} rows, {wrong}" in (kernel_fault(decoder, LONG) or "")
        monkeypatch.setattr(product_check, part, right)


def test_nothing_is_compiled_for_the_check_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Hopper, where long products have kernels of their own, also in their smallest classes."""
    monkeypatch.setattr(product_gluon, "INTERPRET", False)
    monkeypatch.setattr(product_gluon, "LEAST_REDUCTION", 128)
    monkeypatch.setattr(product_gluon, "multiprocessors", lambda _: 1)
    monkeypatch.setattr(torch, "empty", torch.zeros)  # kernels are recorded and write nothing
    monkeypatch.setattr(kernel_check, "_fault", lambda *_: None)
    decoder, longest = Decoder.of(model()), 300
    latent = decoder.model.new_latent(8)

    def serve() -> None:
        for query_lens, seq_lens in eager_batches(decoder.model.config, longest):
            decoder.forward_long(dummy_batch(query_lens, seq_lens, "cpu"), latent)

    served, checked = launches(serve), launches(lambda: kernel_check._products_fault(decoder, longest))
    assert {name for name, _, _ in checked} >= {"_rows_by_weights", "_sort"}
    assert checked <= served


def launches(run: Callable[[], object]) -> set[tuple[str, tuple[object, ...], tuple[tuple[str, object], ...]]]:
    """What a run would compile: kernels, their arguments' types, their constants."""
    found = set()

    def take(kernel: Any, _: object, args: tuple[object, ...], constants: dict[str, object], options: object) -> None:
        types = tuple(getattr(arg, "dtype", None if arg is None else type(arg)) for arg in args)
        found.add((kernel.__name__, types, (*constants.items(), ("options", str(options)))))

    token = triton_common.launcher.set(take)
    try:
        run()
    finally:
        triton_common.launcher.reset(token)
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
    network.shared.down = Weight(network.shared.down.dequantize(torch.bfloat16))
    assert "another format" in (unsuited(mixed) or "")
    wide = model("v2-lite")
    wide.layers[0].attention.o = Weight(wide.layers[0].attention.o.data.float())
    assert "in float32" in (unsuited(wide) or "")


def test_few_steps_reach_every_class() -> None:
    config = bench_config("r1-tp8")
    steps = eager_batches(config, 16384)
    assert all(sum(new) >= LONG for new, _ in steps) and len(steps) < 20
    assert max(sum(new) for new, _ in steps) == 16384  # the longest step itself
    assert eager_batches(config, 100) == []
