"""What physics says of any setting: more bandwidth is never slower, a longer context never faster."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopwell.limits.catalogue import find_gpu
from hopwell.planner.engines import engines, find_engine
from hopwell.planner.kernels import kernel
from hopwell.planner.layout import Layout, layouts
from hopwell.planner.memory import plan_memory
from hopwell.planner.model import read_model
from hopwell.planner.serving import Load, Serving
from hopwell.planner.step import Machine, total
from hopwell.planner.uncertainty import band, figures

MODELS = [read_model(name) for name in ("deepseek-r1", "v2-lite", "kimi-k2")]
GPUS = [find_gpu(name) for name in ("H100", "H200", "B200", "GB200")]


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Any model, GPU, engine, precision and layout."""
    model, gpu = draw(st.sampled_from(MODELS)), draw(st.sampled_from(GPUS))
    engine = draw(st.sampled_from(list(engines().values())))
    precision = draw(st.sampled_from(list(engine.precisions.values())))
    layout = draw(st.sampled_from(list(layouts(model, gpu, precision.name))))
    return Machine(model, precision, layout, gpu, engine)


@settings(max_examples=60, deadline=None)
@given(machines(), st.integers(1, 512), st.integers(2, 60_000), st.integers(0, 3))
def test_a_step_grows_with_what_it_holds(machine: Machine, batch: int, context: int, drafts: int) -> None:
    step = total(machine.decode(batch, context, drafts))
    assert step > 0
    assert total(machine.decode(batch + 1, context, drafts)) >= step
    assert total(machine.decode(batch, context * 2, drafts)) >= step
    assert total(machine.decode(batch, context, drafts + 1)) >= step
    prompt = total(machine.prompt(context))
    assert total(machine.prompt(context + 1)) >= prompt and total(machine.prompt(context, prompts=2)) >= prompt


@settings(max_examples=30, deadline=None)
@given(machines(), st.integers(1, 256), st.floats(1.0, 3.0))
def test_a_better_gpu_is_never_slower(machine: Machine, batch: int, factor: float) -> None:
    gpu = machine.gpu
    base = total(machine.decode(batch, 2048))
    for better in (
        replace(gpu, bandwidth=gpu.bandwidth * factor),
        replace(gpu, bf16=gpu.bf16 * factor, fp8=(gpu.fp8 or gpu.bf16) * factor),
        replace(gpu, nvlink=gpu.nvlink * factor),
    ):
        other = Machine(machine.model, machine.precision, machine.layout, better, machine.engine)
        assert total(other.decode(batch, 2048)) <= base * (1 + 1e-9)
    kernel.cache_clear()


@settings(max_examples=60, deadline=None)
@given(machines(), st.integers(1, 2000), st.sampled_from([256, 1024, 8192, 30_000]), st.integers(0, 1))
def test_memory_stays_on_the_card_and_users_cost_time(machine: Machine, users: int, tokens: int, drafts: int) -> None:
    memory = plan_memory(machine, drafts > 0)
    assert memory.weights > 0
    if not memory.tokens:
        return
    per_group = memory.tokens / machine.layout.dp * memory.token
    assert memory.weights + per_group <= machine.gpu.memory
    serving = Serving(machine, Load(tokens, 1024), drafts if drafts in machine.engine.mtp else 0)
    if serving.limit < 1:
        return
    point, more = serving.at(users), serving.at(users + 1)
    assert point.admitted <= serving.limit and point.admitted <= users
    assert more.tpot_ms >= point.tpot_ms * (1 - 1e-9) and more.ttft_ms >= point.ttft_ms * (1 - 1e-9)
    assert point.requests_per_s * (point.ttft_ms + 1024 * point.tpot_ms) / 1e3 <= users * (1 + 1e-6)


@pytest.mark.parametrize(("keys", "values"), [(128, 128), (64, 192), (192, 64), (4, 1024)])
def test_keys_and_values_may_differ_in_width(keys: int, values: int) -> None:
    """Attention's own products in a prompt are those of scores and of values, whatever rebuilding them takes."""
    model = replace(MODELS[0], qk_nope_head_dim=keys, v_head_dim=values)
    gpu, engine = find_gpu("H200"), find_engine("sglang")
    machine = Machine(model, engine.precision("fp8", gpu), Layout(8, 1, 8, 1), gpu, engine)
    op = machine.prompt(100)[0]
    pairs, heads = 100 * 101 / 2, model.num_attention_heads / 8
    assert op.name == "attention"
    assert op.flops == pytest.approx(model.num_hidden_layers * 2 * heads * (keys + 64 + values) * pairs)


def test_the_step_of_own_kernels_is_the_one_that_was_measured() -> None:
    """r1-tp8, 8 layers, one H200, 1,024 rows: benchmarks/results/engine-r1-tp8-h200-20261126.json."""
    share = replace(
        MODELS[0], num_attention_heads=16, intermediate_size=2304, moe_intermediate_size=256, vocab_size=16160,
        num_hidden_layers=8, first_k_dense_replace=1,
    )  # fmt: skip
    engine, gpu = find_engine("hopwell"), find_gpu("H200")
    layout = next(iter(layouts(share, gpu, "fp8", (1,))))
    machine = Machine(share, engine.precisions["fp8"], layout, gpu, engine)
    for batch, ms in ((1, 0.498), (8, 1.007), (32, 2.093), (128, 3.350)):
        assert abs(total(machine.decode(batch, 1024)) / 1e3 / ms - 1) < 0.08


def test_figures_claim_no_more_than_is_known() -> None:
    numbers = {1234: "1,200", 31.4: "31", 4.68: "4.7", 0.0523: "0.052", 9.96: "10", 0.996: "1.0", 0: "0"}
    assert {value: figures(value) for value in numbers} == numbers
    low, middle, high = band(100.0, 0.1)
    assert low < middle < high and abs(low * high - middle**2) < 1e-6
