"""Is everything right on this GPU? Kernels at real sizes, nano's answers, tokens in batches, memory accesses."""

from __future__ import annotations

import importlib.util
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from hopwell.bench.latent import latent_rows
from hopwell.bench.nano import measure
from hopwell.bench.nano_tasks import TASKS, held_out_problems
from hopwell.engine.core import SamplingParams
from hopwell.engine.llm import LLM
from hopwell.engine.loading import LoadedModel, load_model
from hopwell.errors import HopwellError
from hopwell.formats.fp8 import quantize_fp8_block
from hopwell.ops import attention_triton, mla_triton, moe
from hopwell.ops.attention import CacheScales
from hopwell.ops.linear import Weight, linear, plain_ops
from hopwell.ops.mla_triton import Form
from hopwell.ops.moe import Experts

Rows = list[dict[str, Any]]
DEVICE = "cuda"
LENGTHS = (1, 63, 64, 65, 1000, 8192, 131072)
SANITIZED = (
    "tests/ops/test_triton_kernels.py",
    "tests/ops/test_gluon_kernels.py",
    "tests/model/test_decode_step.py",
    "tests/precision/test_precision_kernels.py",
)
"""They launch every kernel that serves or converts. Graphs need PyTorch's caching of memory, which hides overruns."""
TESTS = (
    *SANITIZED,
    "tests/model/test_kernel_check.py",
    "tests/model/test_activations.py",
    "tests/engine/test_graphs.py",
)
ROOT = Path(__file__).parents[2]
NO_CACHE = ["-p", "no:cacheprovider"]
WORKERS = 16
CPU_PROCESSES = 4
FORMS = {
    "wide": Form(False, 16, 4, 2, False),
    "wide, numbers ahead": Form(False, 16, 4, 2, True),
    "rows, 2 stages": Form(True, 16, 8, 2),
    "rows, 3 stages": Form(True, 16, 8, 3),
    "rows, 4 warps": Form(True, 16, 4, 2),
    "by hand": Form(True, 16, 4, 1, by_hand=True),
}
"""Ways to compute attention with 16 heads; on Hopper the first is in use for few tokens, the last for more."""
FORMS_128 = {"64 rows, by hand": Form(True, 64, 8, 1, by_hand=True), "64 rows": Form(True, 64, 8, 2),
             "32 rows, 3 stages": Form(True, 32, 8, 3), "wide": Form(False, 64, 8, 2, False)}  # fmt: skip
"""The same with 128 heads."""


def caches(how: Form) -> tuple[bool, ...]:
    """What a form can read: a cache of codes (True), of bf16, or either."""
    if how.by_hand:
        return (False, True) if how.heads <= 16 else (False,)
    return (False, True) if how.heads_first and how.heads <= 32 else (False,)


@contextmanager
def poisoned() -> Iterator[None]:
    """Memory that a kernel does not write reads as NaN (integers: -1)."""
    real = torch.empty

    def empty(*args: Any, **kwargs: Any) -> torch.Tensor:
        out = real(*args, **kwargs)
        if out.dtype == torch.float8_e4m3fn:
            out.view(torch.uint8).fill_(0x7F)
        else:
            out.fill_(float("nan") if out.is_floating_point() else -1)
        return out

    with patch.object(torch, "empty", empty):
        yield


def error(got: torch.Tensor, want: torch.Tensor) -> float:
    """Relative, in the 2-norm; infinite where it is NaN, for the larger of a number and NaN may be the number."""
    found = ((got.double() - want.double()).norm() / want.double().norm()).item()
    return math.inf if math.isnan(found) else found


def attention_error(heads: int, length: int, how: Form, fp8: bool, seed: int) -> float:
    """Of one query over `length` cached rows, against float64; sharp enough that a wrong row shows."""
    generator = torch.Generator(DEVICE).manual_seed(seed)
    pages = -(-length // 64)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=DEVICE)

    queries, rows = randn(1, heads, 576).bfloat16(), randn(pages, 64, 576)
    scales = CacheScales(0.01, 0.02) if fp8 else None
    latent = scales.encode(rows) if scales is not None else rows.bfloat16()
    table = torch.randperm(pages, generator=generator, device=DEVICE).int().unsqueeze(0)
    latent[table[0, -1].long(), (length - 1) % 64 + 1 :] = float("nan")
    w_uv = randn(heads, 512, 128).mul_(0.1).bfloat16()
    with poisoned():
        cuts, lse = mla_triton.decode(
            queries, latent, table, torch.tensor([length - 1], device=DEVICE), 0.2, scales, how=how
        )
        got = mla_triton.combine_heads(cuts, lse, w_uv, codes=False).values
    stored = scales.decode(latent, torch.float32) if scales is not None else latent
    exact = stored[table[0].long()].flatten(0, 1)[:length].double()
    weights = (queries[0].double() @ exact.T * 0.2).softmax(-1)
    want = torch.einsum("hr,hrv->hv", weights @ exact[:, :512], w_uv.double())
    assert got is not None
    return error(got.view(heads, 128), want)


def kernels(seed: int = 0) -> Rows:
    """Attention at all lengths in every form, prompts' attention, and experts at the extremes, at real sizes."""
    rows: Rows = []
    for heads, forms in ((16, FORMS), (128, FORMS_128)):
        for name, how in forms.items():
            for fp8 in caches(how):
                worst = max(attention_error(heads, length, how, fp8, seed + length) for length in LENGTHS)
                what = f"attention, {heads} heads, {name}, {'fp8' if fp8 else 'bf16'} cache, 1 to {LENGTHS[-1]:,} rows"
                rows.append({"what": what, "error": worst, "tolerance": 2.0**-6})
    rows += _prompt_attention(seed) + _experts(seed)
    for row in rows:
        row["right"] = row["error"] <= row["tolerance"]  # NaN is not
    return rows


def _prompt_attention(seed: int) -> Rows:
    generator = torch.Generator(DEVICE).manual_seed(seed)
    found = []
    for sequences, tokens, length in ((1, 16384, 16384), (1, 200, 5000), (1, 2048, 2049), (3, 130, 700), (2, 64, 64)):
        room = length + 100
        shapes = ((sequences * tokens, 2, 128), (sequences * tokens, 2, 64), (2, sequences * room, 128),
                  (sequences * room, 64), (2, sequences * room, 128))  # fmt: skip
        q, q_rope, k, k_rope, v = (
            torch.randn(shape, generator=generator, device=DEVICE).bfloat16() for shape in shapes
        )
        starts = torch.arange(sequences, device=DEVICE) * room
        unused = (starts.unsqueeze(1) + torch.arange(length, room, device=DEVICE)).flatten()
        for rows in (k.transpose(0, 1), k_rope, v.transpose(0, 1)):
            rows[unused] = float("nan")
        position = torch.arange(length - tokens, length, device=DEVICE)
        with poisoned():
            got = attention_triton.prefill(q, q_rope, k, k_rope, v, position.repeat(sequences), 0.1, sequences)
        worst = 0.0
        for sequence in range(sequences):
            seen = slice(sequence * room, sequence * room + length)
            for first in range(0, tokens, 1024):
                some = slice(sequence * tokens + first, sequence * tokens + min(first + 1024, tokens))
                scores = torch.einsum("thk,hlk->htl", q[some].float(), k[:, seen].float())
                scores += torch.einsum("thk,lk->htl", q_rope[some].float(), k_rope[seen].float())
                hidden = torch.arange(length, device=DEVICE) > position[first : first + 1024].unsqueeze(1)
                weights = scores.mul_(0.1).masked_fill_(hidden, float("-inf")).softmax(-1)
                want = torch.einsum("htl,hlv->thv", weights, v[:, seen].float())
                worst = max(worst, error(got[some], want))
        what = f"prompt attention, {sequences} x {tokens:,} of {length:,} rows"
        found.append({"what": what, "error": worst, "tolerance": 2.0**-6})
    return found


def _experts(seed: int) -> Rows:
    generator = torch.Generator(DEVICE).manual_seed(seed)

    def fp8(*shape: int) -> Weight:
        data, scale = quantize_fp8_block(torch.randn(shape, generator=generator, device=DEVICE) * 0.02)
        return Weight(data, scale, "fp8_block")

    found = []
    experts = Experts(fp8(32, 512, 7168), fp8(32, 7168, 256))
    for tokens in (1, 16, 17, 300, 4096):
        for routing in ("spread", "one expert takes all"):
            x = torch.randn(tokens, 7168, generator=generator, device=DEVICE).bfloat16()
            ids = torch.rand(tokens, 32, generator=generator, device=DEVICE).topk(4).indices
            if routing != "spread":
                ids[:] = torch.tensor([7, 1, 2, 3], device=DEVICE)
            shares = torch.rand(tokens, 4, generator=generator, device=DEVICE)
            with poisoned():
                got = moe.moe(x, ids, shares, experts)
            with plain_ops():
                want = moe.moe(x, ids, shares, experts)
            found.append({"what": f"experts, {tokens:,} tokens, {routing}", "error": error(got, want),
                          "tolerance": 2 * 2.0**-4})  # fmt: skip
    for tokens in (1, 33, 129, 8192):
        weight = fp8(2112, 7168)
        x = torch.randn(tokens, 7168, generator=generator, device=DEVICE).bfloat16()
        with poisoned():
            got = linear(x, weight)
        with plain_ops():
            want = linear(x, weight)
        found.append({"what": f"product, {tokens:,} tokens", "error": error(got, want), "tolerance": 2.0**-4})
    return found


def tests() -> Rows:
    """The kernels' own tests, compiled; needs a checkout and pytest."""
    return [_pytest([sys.executable, "-m", "pytest", *TESTS, "-v", *_side_by_side()])]


def sanitizer() -> Rows:
    """The kernels' tests under compute-sanitizer's memcheck, and a planted overrun that it must find."""
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not Path(tool).exists():
        raise HopwellError("compute-sanitizer is not installed; it comes with the CUDA toolkit")
    # this project's kernels alone: C++ names begin with _Z. A call that fails is PyTorch's to report, which probes for
    # what a driver lacks. One process: 62 tests take it 15 s once their kernels are compiled; 16 workers of pytest had
    # not started after 150 s
    under = [tool, "--tool", "memcheck", "--error-exitcode", "9", "--kernel-name", "regex=^_[a-z]", "--padding", "1024",
             "--report-api-errors", "no", "--destroy-on-device-error", "kernel", "--target-processes",
             "application-only", sys.executable, "-m"]  # fmt: skip
    apart = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}  # each tensor has bounds of its own
    clean = _pytest([*under, "pytest", *SANITIZED, "-k", "not compensates", "-v", *NO_CACHE], apart)
    summaries = [line for line in clean["found"] if "ERROR SUMMARY" in line]
    clean["right"] = clean["right"] and bool(summaries) and all("SUMMARY: 0 errors" in line for line in summaries)
    planted = _run([*under, "hopwell.bench.overrun"], apart)
    planted["right"] = planted["exit"] == 9 and any("Invalid __global__ write" in line for line in planted["found"])
    return [{"what": "the kernels' tests", **clean}, {"what": "a planted overrun", **planted}]


def _side_by_side() -> list[str]:
    """Options of pytest: compiling is what takes time, and a worker compiles on one core."""
    if importlib.util.find_spec("xdist") is None:
        return NO_CACHE
    return [*NO_CACHE, "-n", str(min(WORKERS, os.cpu_count() or 1)), "--dist", "worksteal"]


def _pytest(command: list[str], more: dict[str, str] | None = None) -> dict[str, Any]:
    if not (ROOT / TESTS[0]).exists() or importlib.util.find_spec("pytest") is None:
        raise HopwellError("the tests need a checkout of this project and pytest")
    return _run(command, {"OMP_NUM_THREADS": "1", **(more or {})})


def _run(command: list[str], more: dict[str, str]) -> dict[str, Any]:
    """A command's outcome. All it says goes to stdout, what went wrong to stderr too, at once: it may be cut off."""
    lines, found = [], []
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **more}
    ) as run:
        assert run.stdout is not None
        for line in filter(str.strip, run.stdout):
            lines.append(line.rstrip())
            print(lines[-1], flush=True)
            if any(sign in line for sign in ("ERROR SUMMARY", "FAILED", "Invalid __")):
                found.append(line.strip())
                print(line.strip(), file=sys.stderr, flush=True)
    said = " ".join("python" if word == sys.executable else Path(word).name if word == command[0] else word
                    for word in command)  # fmt: skip
    return {"command": said, "exit": run.returncode, "right": run.returncode == 0, "tail": lines[-3:],
            "found": [*found[:20], *found[20:][-1:]]}  # fmt: skip


def nano(problems: int = 25, seed: int = 11) -> Rows:
    """Nano's accuracy on the GPU and on the CPU, on the same problems; and on the GPU from both cache formats."""
    from dataclasses import asdict

    tasks = list(TASKS)
    # beside the GPU, in processes: on a CPU nano computes with one thread
    with ProcessPoolExecutor(CPU_PROCESSES, multiprocessing.get_context("spawn")) as pool:
        shares = [tasks[i::CPU_PROCESSES] for i in range(CPU_PROCESSES)]
        waiting = [pool.submit(_solved, None, problems, seed, share) for share in shares]
        loaded = load_model(device="cuda")
        on_gpu = _solved(loaded, problems, seed, tasks)
        formats = [asdict(row) for row in latent_rows(loaded, problems, seed)]
        done = [future.result() for future in waiting]
    on_cpu: dict[str, Any] = {
        "device": "cpu",
        "right": sum(part["right"] for part in done),
        "tokens": sum(part["tokens"] for part in done),
        "by_task": {task: right for part in done for task, right in part["by_task"].items()},
        "wrong": [problem for part in done for problem in part["wrong"]],
    }
    for row, other in ((on_gpu, on_cpu), (on_cpu, on_gpu)):
        row["problems"] = problems * len(tasks)
        row["accuracy"] = row["right"] / row["problems"]
        row["right_only_here"] = [problem for problem in other["wrong"] if problem not in row["wrong"]]
    return [on_gpu, on_cpu, *formats]


def _solved(loaded: LoadedModel | None, problems: int, seed: int, tasks: list[str]) -> dict[str, Any]:
    """What nano solves of some tasks, with drafts, and whether kernels computed it; None: on the CPU."""
    loaded = loaded or load_model(device="cpu")
    llm = LLM(loaded, drafts=1)
    report, model = measure(llm, problems, seed, tasks, balance=False), llm.engine.runner.model
    late = getattr(model, "late", None)
    found: dict[str, Any] = {
        "device": loaded.model.device.type,
        "right": sum(row.right for row in report.rows),
        "tokens": report.tokens,
        "by_task": {row.task: row.right for row in report.rows},
        "wrong": [f"{w.problem.task}: {w.problem.messages[-1]['content']}" for w in report.wrong],
    }
    if late is not None:
        late.stop()
    if loaded.model.device.type == "cuda":
        found["no_kernels"] = loaded.unsuited or getattr(model, "fault", None)
        found["compiled_after_ready"] = late.names if late is not None else None
        found["mtp_acceptance"] = report.mtp_acceptance
    llm.close()
    return found


def batches(requests: int = 200, tokens: int = 512, batch: int = 64) -> Rows:
    """Greedy tokens of nano in batches against the same alone, in deterministic mode and not."""
    loaded = load_model(device="cuda")
    tasks = list(TASKS)
    params = SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True)
    rows: Rows = []
    for deterministic in (True, False):
        answers: list[list[list[int]]] = []
        for seqs in (batch, 1):
            llm = LLM(loaded, deterministic=deterministic, drafts=0, max_seqs=seqs, prefix_cache=False)
            problems = [held_out_problems(tasks[i % len(tasks)], 1, i)[0] for i in range(requests)]
            prompts = [llm.render(p.messages, p.tools) for p in problems]
            answers.append([c.answers[0].tokens for c in llm.generate(prompts, params)])
            late = getattr(llm.engine.runner.model, "late", None)
            if late is not None:
                late.stop()  # the next engine's kernels are not this one's
            llm.close()
            rows.append({"deterministic": deterministic, "batch": seqs,
                         "compiled_after_ready": late.names if late is not None else None})  # fmt: skip
        pairs = list(zip(*answers, strict=True))
        different = sum(a != b for many, one in pairs for a, b in zip(many, one, strict=True))
        rows.append({"deterministic": deterministic, "requests": requests, "tokens": requests * tokens,
                     "different_tokens": different, "share": different / (requests * tokens),
                     "requests_that_differ": sum(many != one for many, one in pairs)})  # fmt: skip
    return rows
