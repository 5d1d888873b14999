"""Is everything right on this GPU? Kernels at real sizes, nano's answers, tokens in batches, memory accesses."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.latent import latent_rows
from hopwell.engine.llm import LLM
from hopwell.engine.loaded import LoadedModel
from hopwell.engine.loading import load_model
from hopwell.engine.request import SamplingParams
from hopwell.errors import HopwellError
from training.nano.scoring import measure
from training.nano.tasks import TASKS, held_out_problems

Rows = list[dict[str, Any]]
REAL_SIZES = "tests/ops/test_real_sizes.py"
SANITIZED = (
    "tests/ops/test_triton_kernels.py",
    "tests/ops/test_gluon_kernels.py",
    "tests/ops/test_packed_kernels.py",
    "tests/model/test_decode_step.py",
    "tests/quantization/test_precision_kernels.py",
)
"""They launch every kernel that serves or converts. Graphs need PyTorch's caching of memory, which hides overruns."""
TESTS = (
    *SANITIZED,
    "tests/model/test_kernel_check.py",
    "tests/model/test_activations.py",
    "tests/engine/test_graphs.py",
)
NO_CACHE = ["-p", "no:cacheprovider"]
ALL = ["-m", "slow or not slow"]
"""Those too that only interpreting makes slow."""
WORKERS = 16
CPU_PROCESSES = 4


def kernels() -> Rows:
    """Kernels at real sizes and at the extremes."""
    return [_pytest([sys.executable, "-m", "pytest", REAL_SIZES, "-m", "gpu", "-v", *NO_CACHE])]


def tests() -> Rows:
    """The kernels' own tests, compiled."""
    return [_pytest([sys.executable, "-m", "pytest", *TESTS, "-v", *ALL, *_side_by_side()])]


def sanitizer() -> Rows:
    """The kernels' tests under compute-sanitizer's memcheck, and a planted overrun that it must find."""
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not Path(tool).exists():
        raise HopwellError("compute-sanitizer is not installed; it comes with the CUDA toolkit")
    # this project's kernels alone: C++ names begin with _Z. A call that fails is PyTorch's to report, which probes for
    # what a driver lacks. One process: 193 tests take it 80 s once their kernels are compiled; 16 workers of pytest had
    # not started after 150 s
    under = [tool, "--tool", "memcheck", "--error-exitcode", "9", "--kernel-name", "regex=^_[a-z]", "--padding", "1024",
             "--report-api-errors", "no", "--destroy-on-device-error", "kernel", "--target-processes",
             "application-only", sys.executable, "-m"]  # fmt: skip
    apart = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}  # each tensor has bounds of its own
    clean = _pytest([*under, "pytest", *SANITIZED, "-k", "not compensates", "-v", *ALL, *NO_CACHE], apart)
    summaries = [line for line in clean["found"] if "ERROR SUMMARY" in line]
    clean["right"] = clean["right"] and bool(summaries) and all("SUMMARY: 0 errors" in line for line in summaries)
    planted = _run([*under, "benchmarks.overrun"], apart)
    planted["right"] = planted["exit"] == 9 and any("Invalid __global__ write" in line for line in planted["found"])
    return [{"what": "the kernels' tests", **clean}, {"what": "a planted overrun", **planted}]


def _side_by_side() -> list[str]:
    """Options of pytest: compiling is what takes time, and a worker compiles on one core."""
    if importlib.util.find_spec("xdist") is None:
        return NO_CACHE
    return [*NO_CACHE, "-n", str(min(WORKERS, os.cpu_count() or 1)), "--dist", "worksteal"]


def _pytest(command: list[str], more: dict[str, str] | None = None) -> dict[str, Any]:
    if importlib.util.find_spec("pytest") is None:
        raise HopwellError("the tests need pytest; pip install -e '.[dev]'")
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
    """Greedy tokens of nano in batches against the same alone, in batch-invariant mode and not."""
    loaded = load_model(device="cuda")
    tasks = list(TASKS)
    params = SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True)
    rows: Rows = []
    for batch_invariant in (True, False):
        answers: list[list[list[int]]] = []
        for seqs in (batch, 1):
            llm = LLM(loaded, batch_invariant=batch_invariant, drafts=0, max_seqs=seqs, prefix_cache=False)
            problems = [held_out_problems(tasks[i % len(tasks)], 1, i)[0] for i in range(requests)]
            prompts = [llm.render(p.messages, p.tools) for p in problems]
            answers.append([c.answers[0].tokens for c in llm.generate(prompts, params)])
            late = getattr(llm.engine.runner.model, "late", None)
            if late is not None:
                late.stop()  # the next engine's kernels are not this one's
            llm.close()
            rows.append({"batch_invariant": batch_invariant, "batch": seqs,
                         "compiled_after_ready": late.names if late is not None else None})  # fmt: skip
        pairs = list(zip(*answers, strict=True))
        different = sum(a != b for many, one in pairs for a, b in zip(many, one, strict=True))
        rows.append({"batch_invariant": batch_invariant, "requests": requests, "tokens": requests * tokens,
                     "different_tokens": different, "share": different / (requests * tokens),
                     "requests_that_differ": sum(many != one for many, one in pairs)})  # fmt: skip
    return rows
