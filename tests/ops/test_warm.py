"""The kernel cache: what is compiled ahead is what a launch looks for, and what is compiled late is noticed.

In processes of their own, since this one may have Triton's interpreter on. No GPU: Triton is told of one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from compiling import compiled

pytest.importorskip("triton")

LAUNCHES = '''
import sys, torch, triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from hopwell.ops import norm_triton, triton_common
from hopwell.ops.compile.aot import machine_code, record
from hopwell.ops.compile.guard import LateCompileError, RecompileGuard

class Hopper:
    def get_current_target(self): return GPUTarget("cuda", 90, 32)
    def get_current_device(self): return 0
    def get_current_stream(self, device=0): return 0

driver.set_active(Hopper())
events = []
triton.knobs.compilation.listener = lambda **e: events.append(e["cache_hit"])

def norm(width):
    row, weight = torch.empty(3, width, dtype=torch.bfloat16, device="meta"), torch.empty(width, device="meta")
    norm_triton.add_norm(row, weight)

def as_on_a_gpu(run):
    """Triton's own path from a call to machine code, all but the launch."""
    def take(kernel, grid, args, constants, options):
        kernel.warmup(*args, grid=grid, **constants, **options)
    token = triton_common.launcher.set(take)
    run()
    triton_common.launcher.reset(token)

(launch,) = record(lambda: norm(256))
machine_code(launch, 90)
as_on_a_gpu(lambda: norm(256))
assert events == [False, True], events  # compiled once, and found under the key that the call computes

watch = RecompileGuard(strict=True)
watch.start()
as_on_a_gpu(lambda: norm(256))
assert watch.names == []
try:
    as_on_a_gpu(lambda: norm(384))
except LateCompileError as error:
    assert "_add_norm" in str(error) and len(watch.names) == 1
else:
    sys.exit("a late kernel went unnoticed")
watch.stop()
as_on_a_gpu(lambda: norm(512))
assert len(watch.names) == 1
'''

WARM = """
import sys, time
from hopwell.model.shipped import shipped_config
from hopwell.model.settings import ModelSettings
from hopwell.model.warm import WarmError, Warming
from hopwell.ops.device import HOPPER

small = dict(hidden_size=128, intermediate_size=128, moe_intermediate_size=64, vocab_size=64, n_routed_experts=4,
             num_experts_per_tok=2, num_attention_heads=2, num_key_value_heads=2, kv_lora_rank=128)
config = {**shipped_config("v2-lite"), **small}
seen, rows = [], ModelSettings(activations="bf16")
with Warming(config, HOPPER, rows, processes=2, sizes=[1], max_rows=1) as warming:
    assert not warming.full
    count = warming.wait(lambda done, total, name: seen.append((done, total)))
assert count > 8 and seen[-1] == (count, count), seen
again = Warming(config, HOPPER, rows, processes=2, sizes=[1], max_rows=1)
assert again.full and again.wait() == 0
with Warming({**config, "hidden_act": "gelu"}, HOPPER, processes=1) as warming:
    try:
        warming.wait()
    except WarmError as error:
        assert "hidden_act" in str(error)
    else:
        sys.exit("a failure went unnoticed")
"""


@pytest.mark.parametrize(
    "script",
    [pytest.param(LAUNCHES, id="key"), pytest.param(WARM, id="processes", marks=pytest.mark.slow)],
)
@pytest.mark.slow
def test_kernels_are_compiled_ahead_and_never_late(script: str, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    path = tmp_path / "script.py"
    path.write_text(script, encoding="utf-8")
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


CHECK = """
import torch
from hopwell.bench.models import bench_config
from hopwell.model import kernel_check, warm
from hopwell.model.batch import ForwardBatch
from hopwell.model.fused import FusedTransformer
from hopwell.model.random_weights import random_transformer
from hopwell.ops.compile.aot import record
from hopwell.ops.attention_triton import attend

config = bench_config("r1-tp8", 2)
model = random_transformer(config, "meta")
fused, latent, a = FusedTransformer(model), model.new_latent(64), model.layers[0].attention
meta = lambda *shape, dtype=torch.int64: torch.empty(shape, dtype=dtype, device="meta")

def check():
    for new, lengths in kernel_check.CASES:
        rows, pages = sum(new), meta(len(new), -(-max(lengths) // 64), dtype=torch.int32)
        batch = ForwardBatch(meta(rows), meta(rows), new, lengths, pages)
        own = meta(rows, 16, 192, dtype=torch.bfloat16)
        attend(own[..., :128], own[..., 128:], latent[0], a.w_uk, a.w_uv, fused.plan(batch), 0.1)
        if rows > 128:
            fused.forward_long(batch, latent)
        else:
            fused.forward(meta(rows), meta(rows), meta(rows, 8, dtype=torch.int32), latent)

wanted = set(record(check))
assert len(wanted) > 20 and wanted <= set(warm.launches(config.raw)), "the check compiles kernels of its own"
"""


@pytest.mark.slow
def test_the_check_before_serving_compiles_nothing_of_its_own() -> None:
    compiled(CHECK)


RANKS = """
from dataclasses import replace

import torch

from hopwell.model import warm
from hopwell.model.config import ModelConfig
from hopwell.model.fused import FusedTransformer
from hopwell.model.random_weights import random_transformer
from hopwell.model.sharding import Shard
from hopwell.model.shipped import shipped_config
from hopwell.ops.compile.aot import record
from hopwell.parallel.layout import Layout

small = {"num_hidden_layers": 4, "first_k_dense_replace": 1, "n_routed_experts": 32}
values = {**shipped_config("deepseek-r1"), **small}

class Rank1(warm.Unheard):
    def __init__(self, world, width):
        super().__init__(world, width)
        self._inboxes = replace(self._inboxes, rank=1)

for apart in (False, True):
    layout = Layout(2, dp_attention=apart)
    warmed = set(warm.launches(values, layout=layout))
    config = ModelConfig.from_dict(values)
    model = random_transformer(config, "meta", shard=Shard(replace(layout, rank=1), Rank1(2, config.hidden_size)))
    fused, latent = FusedTransformer(model), model.new_latent(64)
    meta = lambda *shape, dtype=torch.int64: torch.empty(shape, dtype=dtype, device="meta")

    def step(rows):
        hidden = fused.forward(meta(rows), meta(rows), meta(rows, 32, dtype=torch.int32), latent)
        fused.logits(hidden)
        fused.draft(hidden[:rows], meta(rows), meta(rows), meta(rows, 32, dtype=torch.int32), latent)

    for rows in (1, 8, 128, 512):
        wanted = set(record(lambda: step(rows)))
        assert len(wanted) > 15 and wanted <= warmed, [launch.kernel.__name__ for launch in wanted - warmed]
    exchanges = [dict(launch.constants) for launch in warmed if "WORLD" in dict(launch.constants)]
    both = {(rank, turn) for rank in (0, 1) for turn in (0, 1)}
    assert {(each["RANK"], each["TURN"]) for each in exchanges} == (set() if apart else both)
"""


def test_kernels_of_all_ranks_are_compiled_ahead() -> None:
    """Of the second of two ranks, which share heads or sequences: what its steps launch."""
    compiled(RANKS)


KEYS = """
import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler.compiler import make_backend
from triton.runtime import driver

from hopwell.model.batch import ForwardBatch
from hopwell.model.config import ModelConfig
from hopwell.model.four_bits import FourBits
from hopwell.model.fused import FusedTransformer
from hopwell.model.random_weights import random_transformer
from hopwell.model.settings import ModelSettings
from hopwell.model.sharding import Shard
from hopwell.model.shipped import find_config, truncate
from hopwell.model.warm import Unheard
from hopwell.ops import triton_common
from hopwell.ops.compile.aot import machine_code, record
from hopwell.ops.device import HOPPER, target
from hopwell.ops.paging import CacheScales
from hopwell.parallel.layout import ONE_RANK, Layout

HERE = GPUTarget("cuda", 90, 32)

class Hopper:
    def get_current_target(self): return HERE
    def get_current_device(self): return 0
    def get_current_stream(self, device=0): return 0

driver.set_active(Hopper())
keys = set()

def key_of(src, target=HERE, options=None):
    backend = make_backend(target)
    told = backend.parse_options(dict(options or {}, **src.parse_options()))
    keys.add((src.fn.__name__, src.hash(), told.hash()))

triton.compile = triton.compiler.compile = key_of
meta = lambda *shape, dtype=torch.int64: torch.empty(shape, dtype=dtype, device="meta")

def launches_of(values, cache_dtype, layout):
    config = ModelConfig.from_dict(values)
    shard = Shard(layout, Unheard(layout.world, config.hidden_size)) if layout.world > 1 else None
    model = random_transformer(config, "meta", packed=True, shard=shard)
    scales = [CacheScales(1.0, 0.5, config.kv_lora_rank)] * len(model.attentions) if cache_dtype == "fp8" else None
    fused = FusedTransformer(ModelSettings(cache_dtype=cache_dtype, cache_scales=scales).of(model))
    latent = fused.model.new_latent(64)

    def run():
        for rows in (1, 8, 128):
            ids, table = meta(rows), meta(rows, 17, dtype=torch.int32)
            hidden, _ = fused.forward_and_score(ids, ids, table, latent)
            fused.draft(hidden, ids, ids, table, latent)
        query_lens, seq_lens = [1, 700], [90, 700]
        batch = ForwardBatch(meta(701), meta(701), query_lens, seq_lens, meta(2, 11, dtype=torch.int32))
        fused.draft_long(fused.forward_long(batch, latent), batch, latent)

    return run

cases = [(None, "auto", ONE_RANK), (None, "fp8", ONE_RANK), ("nvfp4", "fp8", Layout(2)), ("mxfp4", "auto", ONE_RANK),
         ("int4_g32", "auto", ONE_RANK), ("int4_g128", "auto", ONE_RANK)]
for format, cache_dtype, layout in cases:
    values = truncate(find_config("deepseek-r1"), 3, 1)
    if format is not None:
        values = FourBits.of(format, "fp8").described(values)
    run = launches_of(values, cache_dtype, layout)
    keys.clear()
    for launch in record(run, HOPPER):
        machine_code(launch, 90)
    ahead = set(keys)
    keys.clear()

    def take(kernel, grid, args, constants, options):
        kernel.warmup(*args, grid=grid, **constants, **options)

    told = triton_common.launcher.set(take), target.set(HOPPER)
    run()
    triton_common.launcher.reset(told[0]); target.reset(told[1])
    assert len(ahead) > 25, len(ahead)
    assert keys == ahead, (format, cache_dtype, sorted({name for name, *_ in keys ^ ahead}))
"""


def test_what_is_compiled_ahead_is_what_each_launch_looks_for() -> None:
    """All kernels of all formats: a key that differs means that a kernel is compiled twice, the second time while
    somebody waits."""
    compiled(KEYS)


@pytest.mark.timeout(60)
def test_a_long_config_does_not_hold_up_who_starts_compilers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compilers that never read what they are asked, which is more than a pipe takes."""
    from hopwell.model import warm
    from hopwell.ops.device import HOPPER

    deaf = tmp_path / "deaf"
    deaf.write_text("#!/bin/sh\nexec sleep 100\n", encoding="utf-8")
    deaf.chmod(0o755)
    monkeypatch.setattr(warm.sys, "executable", str(deaf))
    monkeypatch.setattr(warm, "cache_folder", lambda: tmp_path)
    with warm.Warming(
        {"quantization_config": {"ignore": ["model.layers.0.mlp"] * 20_000}}, HOPPER, processes=2
    ) as warming:
        assert not warming.full
