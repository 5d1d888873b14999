"""The table of kernels that serve a model: `hopwell doctor --kernels`, on machines that have no such GPU."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from commands import hopwell

from hopwell.model.forward_choice import choose, choose_step
from hopwell.model.four_bits import FourBits
from hopwell.model.kernel_table import KernelRow, kernel_table
from hopwell.model.settings import ModelSettings
from hopwell.model.shipped import shipped_config
from hopwell.ops.device import BLACKWELL, HOPPER, PLAIN, Device


def table(name: str, device: Device = HOPPER, **settings: object) -> list[KernelRow]:
    values = shipped_config(name)
    assert values is not None
    max_rows = settings.pop("max_rows", 2048)
    return kernel_table(values, device, max_rows, ModelSettings(**settings))  # type: ignore[arg-type]


def variants(rows: list[KernelRow], op: str) -> list[tuple[str, str]]:
    return [(row.rows, row.variant) for row in rows if row.op.startswith(op)]


def test_every_step_has_one_variant_an_op() -> None:
    rows = table("r1-tp8", max_rows=600)
    assert rows[0].variant == "fused_chain"
    for op in dict.fromkeys(row.op for row in rows if row.op not in ("silu_mul", "prefill (one prompt)")):
        spans = [tuple(map(int, f"{row.rows}-{row.rows}".split("-")[:2])) for row in rows if row.op == op]
        ends = [first for first, _ in spans[1:]]
        assert spans[0][0] == 1 and ends == [last + 1 for _, last in spans[:-1]] and spans[-1][1] == 600, op
    assert all(row.why for row in rows)
    assert variants(rows, "decode") == [("1-4", "triton_swap_ab"), ("5-600", "gluon_16")]
    assert variants(rows, "o [7168, 2048]")[-1] == ("513-600", "persistent_gluon")
    assert variants(rows, "step, one prompt") == [("1-512", "whole_graph"), ("513-600", "layer_graphs")]
    assert variants(rows, "prefill") == [("129-600", "gluon")]


def test_settings_and_devices_change_it() -> None:
    fp8 = table("r1-tp8", max_rows=8, cache_dtype="fp8", activations="bf16")
    assert variants(fp8, "decode") == [("1-8", "gluon_fp8")]
    assert {row.formats for row in fp8 if row.op.startswith("qkv_a")} == {"fp8_block x bf16"}
    assert {row.variant for row in table("deepseek-r1", BLACKWELL)[1:]} <= {
        *("triton", "leaders", "sort", "whole_graph", "layer_graphs")
    }
    assert table("v2-lite", Device.named("a100"))[0].why.startswith("the kernels are for Hopper and Blackwell")
    plain = table("v2-lite", PLAIN)
    assert plain[0].variant == "plain" and {row.variant for row in plain if row.op == "experts"} == {"torch"}


def test_a_model_that_the_chain_does_not_fit() -> None:
    values = shipped_config("v2-lite")
    assert values is not None
    rows = kernel_table({**values, "qk_nope_head_dim": 96}, HOPPER, 4)
    assert rows[0].variant == "op_by_op" and "heads are 96/64/128" in rows[0].why
    assert variants(rows, "experts") == [("1-4", "grouped")]


def test_faults_and_missing_graphs_decide_too() -> None:
    from hopwell.bench.models import bench_config
    from hopwell.model.random_weights import random_transformer

    model = random_transformer(bench_config("v2-lite", layers=2), "meta")
    assert choose(model, HOPPER).name == "fused_chain"
    assert choose(model, HOPPER, graphs=False).name == "op_by_op"
    assert choose(model, HOPPER, fault="hidden states hold NaN").name == "plain"
    model = replace(model, embedding=model.embedding.to(torch.float32))
    assert choose(model, HOPPER).why == "it computes in float32"


def test_long_prompts_are_computed_a_layer_at_a_time() -> None:
    for lengths, name in (
        (([1] * 512, [9000] * 512), "whole_graph"),
        (([4] * 100, [9000] * 100), "whole_graph"),  # drafts to check
        (([513], [513]), "layer_graphs"),
        (([400, 1], [700, 5]), "layer_graphs"),
        (([400, 1], [600, 5]), "whole_graph"),
        (([100], [9000]), "whole_graph"),
    ):
        assert choose_step(*lengths, largest=512, decoding=4).name == name, lengths


def test_doctor_prints_it() -> None:
    report = json.loads(hopwell("doctor", "--kernels", "r1-tp8", "--device", "h200", "--json").out)
    assert report["device"]["multiprocessors"] == 132
    assert {row["variant"] for row in report["kernels"]} >= {"small_m_gluon", "persistent_gluon", "gluon_16"}
    text = hopwell("doctor", "--kernels", "nano", "--device", "b200", "--max-batch-tokens", "4").out
    assert "nano on B200" in text and "select_experts" in text
    assert "not in the catalogue" in hopwell("doctor", "--kernels", "nano", "--device", "h9000").err


@pytest.mark.parametrize("flag", [("--cache-dtype", "int3"), ("--activations", "int3")])
def test_unknown_settings_are_named(flag: tuple[str, str]) -> None:
    assert "int3" in hopwell("doctor", "--kernels", "r1-tp8", "--device", "h200", *flag).err


def test_four_bits_have_their_kernels_where_they_stay_packed() -> None:
    values = shipped_config("r1-slice")
    assert values is not None
    described = FourBits.of("nvfp4", "fp8").described(values)
    rows = kernel_table(described, HOPPER, 64, ModelSettings(four_bits="packed"))
    assert rows[0].variant == "fused_chain"
    experts = [row for row in rows if row.op.startswith(("experts", "gate_up", "down"))]
    assert experts and {(row.formats, row.variant) for row in experts} == {("nvfp4 x bf16", "packed_triton")}
    assert {row.formats for row in rows if row.op.startswith("o [")} == {"fp8_block x e4m3"}
    expanded = kernel_table(described, HOPPER, 64)
    assert {row.formats for row in expanded if row.op.startswith("experts")} == {"bfloat16 x bf16"}


def test_formats_are_those_of_the_layers_that_a_config_names() -> None:
    """Of one layer a kind is told: by the name of the first of its kind, not by its place among those that are left."""
    values = shipped_config("deepseek-r1")
    assert values is not None
    named = {
        f"model.layers.{layer}.mlp.{name}": {"quant_algo": "NVFP4"}
        for layer in range(3, 61)
        for name in ("experts.0.gate_proj", "experts.0.up_proj", "experts.0.down_proj")
    }
    mixed = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": named}
    rows = kernel_table({**values, "quantization_config": mixed}, HOPPER, 8, ModelSettings(four_bits="packed"))
    assert {row.formats for row in rows if row.op.startswith("experts")} == {"nvfp4 x bf16"}
    assert {row.formats for row in rows if row.op.startswith("gate_up")} == {"bfloat16 x bf16"}
