"""Nano converted by other tools: same tensors, calibration tokens and held-out text; `hopwell verify` measures KL."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

import hopwell
from benchmarks import script
from benchmarks.options import Threads, Work
from hopwell.checkpoint.accounting import WeightSource
from hopwell.checkpoint.fingerprint import REPORT
from hopwell.checkpoint.reader import Checkpoint
from hopwell.cli.result import Out, write_result
from hopwell.cli.tables import print_rows
from hopwell.errors import HopwellError
from hopwell.model import NANO
from hopwell.model.config import ModelConfig
from hopwell.quantization.convert import Conversion
from hopwell.quantization.files import write_json, write_tensors
from hopwell.quantization.plan import Goal, Settings
from hopwell.quantization.verify import verify
from training.nano.text import worked_problems

PEERS: dict[str, dict[str, Any]] = {
    "llmcompressor-rtn": {"peer": "llmcompressor", "method": "observer", "observer": "minmax"},
    "llmcompressor-mse": {"peer": "llmcompressor", "method": "observer", "observer": "expanded-mse"},
    "llmcompressor-imatrix": {"peer": "llmcompressor", "method": "observer", "observer": "expanded-imatrix"},
    "llmcompressor-gptq": {"peer": "llmcompressor", "method": "gptq", "observer": None},
    "llmcompressor-gptq-imatrix": {"peer": "llmcompressor", "method": "gptq", "observer": "expanded-imatrix"},
    "auto-round": {"peer": "auto-round", "steps": 200},
}
FORMATS_OF = {
    "nvfp4": tuple(PEERS),
    "int4_g128": ("llmcompressor-gptq", "auto-round"),
}
"""Observers with an expanded range are NVFP4's."""
JOBS = Path(__file__).with_name("precision_peer_jobs.py")


def run(
    folder: Path,
    python: Path,
    peers: Sequence[str],
    formats: Sequence[str],
    calibration: int,
    held_out: int,
    threads: int,
    work: Path,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Converts nano with every peer and with Hopwell, plainly and compensated, and measures each.

    Args:
        folder: nano's.
        python: of an environment in which the peers are installed.
        work: keeps the conversions; those already in it are not made again.

    Returns:
        A row a tool and format: bytes of the linears, KL and top-1 agreement on problems that nothing was fitted to.

    Raises:
        HopwellError: `python` cannot run a peer; the message has the last line it said.
    """
    fit = worked_problems(folder, calibration)
    judge = worked_problems(folder, held_out, held_out=True, seed=1)
    linears = export(folder, work / "model")
    rows = []
    for fmt in formats:
        for tool in ("plain rounding", "hopwell", *(p for p in peers if p in FORMATS_OF[fmt])):
            out = work / f"{fmt}-{tool.replace(' ', '-')}"
            if tool in PEERS:
                told = _convert(python, work, out, PEERS[tool] | {"format": fmt}, fit, threads)
            else:
                told = {"version": hopwell.__version__}
                settings = Settings(Goal(format=fmt), "compressed-tensors", compensate=tool == "hopwell")
                if not (out / REPORT).exists():
                    Conversion(folder, out, settings, fit, lambda line: None).run()
            rows.append(_row(tool, fmt, out, folder, linears, judge, told))
            say(f"{tool} {fmt}: KL {rows[-1]['kl']:.3g}")
    return rows


def export(folder: Path, out: Path) -> list[str]:
    """Writes a model's decoder layers, embedding and head in float32 for transformers, without the MTP layer.

    Returns:
        The modules of the decoder layers that are stored in FP8: the linears.
    """
    checkpoint = Checkpoint.open(folder)
    config = ModelConfig.from_dict(checkpoint.config)
    source = WeightSource(checkpoint)
    tensors, linears = {}, []
    for name, info in checkpoint.tensors.items():
        if name.startswith(f"model.layers.{config.num_hidden_layers}.") or name.endswith("weight_scale_inv"):
            continue
        module = name.removesuffix(".weight")
        if f"{name}_scale_inv" in checkpoint.tensors:
            linears.append(module)
            tensors[name] = source.take_linear(module, (info.shape[0], info.shape[1])).dequantize(torch.float32)
        else:
            tensors[name] = checkpoint.read(name).float()
    out.mkdir(parents=True, exist_ok=True)
    write_tensors(out / "model.safetensors", tensors)
    settings = {k: v for k, v in checkpoint.config.items() if k != "quantization_config"}
    write_json(out / "config.json", settings | {"num_nextn_predict_layers": 0, "torch_dtype": "float32"})
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (out / name).write_bytes((folder / name).read_bytes())
    return sorted(linears)


def _convert(
    python: Path, work: Path, out: Path, job: dict[str, Any], sequences: list[list[int]], threads: int
) -> dict[str, Any]:
    told = out / "peer.json"
    if told.exists():
        return json.loads(told.read_text(encoding="utf-8"))
    out.mkdir(exist_ok=True)
    path = out.with_suffix(".job.json")
    write_json(path, job | {"model": str(work / "model"), "out": str(out), "sequences": sequences, "threads": threads})
    alone = {**os.environ, "PYTHONSAFEPATH": "1"}  # the scripts beside it have names that libraries may have too
    try:
        done = subprocess.run([python, JOBS, path], cwd=work, capture_output=True, text=True, env=alone)
    except OSError as error:
        raise HopwellError(f"{python}: cannot run: {error.strerror}; give a Python that has the peers") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise HopwellError(f"{python}: {job['peer']} failed: {last}; pip install {job['peer']} there, or leave it out")
    return json.loads(told.read_text(encoding="utf-8"))


def _row(
    tool: str,
    fmt: str,
    out: Path,
    reference: Path,
    linears: Sequence[str],
    judge: list[list[int]],
    told: dict[str, Any],
) -> dict[str, Any]:
    divergence = verify(out, reference, judge).divergence
    return {
        "tool": tool,
        "format": fmt,
        "linear_bytes": linear_bytes(out, linears),
        "kl": divergence.mean,
        "kl_p99": divergence.p99,
        "top1": divergence.top1,
        "version": told.get("version"),
        "seconds": told.get("seconds"),
    }


def linear_bytes(folder: Path, linears: Sequence[str]) -> int:
    """Bytes that the linears take in the files, without the scales of activations.

    Raises:
        HopwellError: one of them is stored in more than 8 bits: the tool left it out.
    """
    wanted, total = set(linears), 0
    for name, info in Checkpoint.open(folder).tensors.items():
        module, _, suffix = name.rpartition(".")
        if module not in wanted or suffix in ("input_scale", "input_global_scale"):
            continue
        if suffix == "weight" and info.dtype != torch.uint8:
            raise HopwellError(f"{folder}: {module} was not converted to four bits")
        total += info.nbytes
    return total


def main(
    python: Annotated[Path, typer.Option(help="Python of an environment with `llmcompressor` and `auto-round`.")],
    only: Annotated[list[str] | None, typer.Option(help="Only this peer; may be repeated.")] = None,
    format: Annotated[list[str] | None, typer.Option(help="nvfp4 or int4_g128; may be repeated.")] = None,
    calibration: Annotated[int, typer.Option(min=2048, help="Tokens to calibrate on.")] = 16_384,
    held_out: Annotated[int, typer.Option(min=64, help="Tokens to judge on.")] = 16_384,
    work: Work = None,
    threads: Threads = 2,
    out: Out = None,
) -> None:
    """Nano converted by other tools at the same bytes: KL to nano, measured as `hopwell verify` does."""
    torch.set_num_threads(threads)
    for option, given, known in (("--only", only, PEERS), ("--format", format, FORMATS_OF)):
        if unknown := set(given or ()) - set(known):
            raise HopwellError(f"{option} {min(unknown)} is unknown; known: {', '.join(known)}")
    with tempfile.TemporaryDirectory() as place:
        rows = run(NANO, python, only or list(PEERS), format or list(FORMATS_OF), calibration, held_out, threads,
                   (work or Path(place)).absolute(), typer.echo)  # fmt: skip
    print_rows([{k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows])
    if out is not None:
        write_result(out, "precision-peers", rows, calibration_tokens=calibration, held_out_tokens=held_out)


if __name__ == "__main__":
    script(main)
