"""`hopwell inspect`: what a model consists of, and where it fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopwell.cli import options as opt
from hopwell.cli.outputs import AsJson, print_json
from hopwell.errors import HopwellError

if TYPE_CHECKING:
    from hopwell.checkpoint.audit import Fault
    from hopwell.model.footprint import Fit
    from hopwell.model.report import ModelReport
    from hopwell.model.snapshot import Snapshot

FAULTS_SHOWN = 20
FORMAT_WORDS = {"F8_E4M3": "fp8", "BF16": "bf16", "F32": "f32", "U8": "4 bits"}


def inspect(
    model: Annotated[
        str | None,
        typer.Argument(help="A checkpoint's folder, a config.json, a shipped name or a hub name; default: nano."),
    ] = None,
    read: Annotated[bool, typer.Option("--read", help="Read a folder's tensors too, and check every value.")] = False,
    packed: Annotated[
        bool | None,
        typer.Option("--packed/--expanded", help="How a GPU holds four bits, as serve --four-bits. [default: packed]"),
    ] = None,
    gpus: opt.Gpus = None,
    as_json: AsJson = False,
) -> None:
    """Parameters by part, formats, bytes, latents a token and the GPUs that hold a model; config.json is enough.

    A folder's shard headers are held to its config: exit code 1 if a tensor is missing, surplus or misshapen. Of a
    packed snapshot it tells what it is for; with --read, every byte is held to its digest.
    """
    from hopwell.cli.progress import byte_progress
    from hopwell.model import place_of
    from hopwell.model.report import inspect_model
    from hopwell.model.snapshot import Snapshot

    if model is not None and Snapshot.is_at(Path(model)):
        if packed is not None:
            given = "--packed" if packed else "--expanded"
            raise HopwellError(f"{given} is for checkpoints; a snapshot tells how it was packed: leave it out")
        _inspect_snapshot(Snapshot.open(Path(model)), read, _layout(model, gpus, True), as_json)
        return
    packed = packed is not False
    with byte_progress("Reading", "Read") as progress:
        report = inspect_model(model, read, progress, packed)
    if report.faults is not None:  # a folder that is to be served
        report = replace(report, warnings=[*report.warnings, *_texts(place_of(model))])
    layout = _layout(model, gpus, packed)
    if as_json:
        print_json(report.as_json() | layout)
    else:
        _print(report)
        for name, why in layout.items():
            print(f"{name}: {why}")
    if report.faults:
        raise typer.Exit(1)


def _texts(folder: Path) -> list[str]:
    """Why a server would not have this checkpoint's texts: tokenizer, recommended sampling, chat template."""
    from hopwell.engine.frontend import Frontend

    try:
        _ = Frontend.open(folder).reply_format
    except HopwellError as error:
        return [str(error)]
    return []


def _layout(model: str | None, gpus: int | None, packed: bool) -> dict[str, str]:
    """How `hopwell serve` would lay it over so many devices of this host; nothing where that was not asked."""
    if gpus is None:
        return {}
    from hopwell.cli.gpus import Asked
    from hopwell.cli.layouts import choose_here

    four_bits = "packed" if packed else "expanded"
    return {"layout": choose_here(Asked(model=model, gpus=gpus, four_bits=four_bits, copies=True)).why}


def _inspect_snapshot(snapshot: Snapshot, read: bool, layout: dict[str, str], as_json: bool) -> None:
    from hopwell.cli.progress import byte_progress

    if read:
        with byte_progress("Reading", "Read") as progress:
            snapshot.verify(progress)
    if as_json:
        print_json(snapshot.as_json() | layout)
        return
    print(f"{snapshot.path}: {snapshot.describe()}")
    files = "1 file" if len(snapshot.parts) == 1 else f"{len(snapshot.parts)} files"
    print(f"{files}, {snapshot.nbytes:,} bytes{', each as it was packed' if read else ''}")
    print(f"packed of {snapshot.source['bytes']:,} bytes, fingerprint {snapshot.source['fingerprint']}")
    for name, why in layout.items():
        print(f"{name}: {why}")


def _print(report: ModelReport) -> None:
    from hopwell.cli.tables import print_rows, short

    def count(parameters: int) -> str:
        return short(parameters, (" k", " M", " B"), digits=5)

    print(f"{report.name}: {report.architecture}")
    mtp = f"; MTP layer {count(report.mtp_parameters)} more" if report.mtp_parameters else ""
    print(f"{count(report.parameters)} parameters, {count(report.active)} active (read for a token){mtp}")
    print(f"{report.tensors:,} tensors, {report.bytes:,} bytes; loaded on a GPU {report.weights.total:,} bytes")
    print(f"latents a token: {report.latents['bf16']:,} bytes in bf16, {report.latents['fp8']:,} in FP8")
    print()
    print_rows([
        {
            "part": part.words,
            "tensors": f"{part.tensors:,}",
            "parameters": count(part.parameters),
            "active": count(part.active),
            "bytes": f"{part.bytes:,}",
            "formats": "+".join(FORMAT_WORDS.get(name, name) for name in part.formats),
        }
        for part in report.parts
    ])  # fmt: skip
    print("Room for tokens of bf16 latents beside the weights, by number of GPUs.")
    print("First, every matrix cut and a token's latents on every GPU (--tp); then,")
    print("attention whole on every GPU and a token's latents on one (--dp-attention).")
    print_rows(fit_rows(report.fits))
    for warning in report.warnings:
        print(f"warning: {warning}")
    if report.faults is not None:  # else there are no tensors to account for
        _print_accounting(report.faults)


def fit_rows(fits: list[Fit]) -> list[dict[str, Any]]:
    """One row a GPU, one column a number of GPUs."""
    rows: dict[str, dict[str, Any]] = {}
    for fit in fits:
        rows.setdefault(fit.gpu, {"GPU": fit.gpu})[str(fit.count)] = _cell(fit)
    return list(rows.values())


def _cell(fit: Fit) -> str:
    from hopwell.cli.tables import short

    ways = [fit.tensor_parallel] if fit.count == 1 else [fit.tensor_parallel, fit.data_parallel]
    if not any(ways):
        return "-"
    return " / ".join("-" if tokens is None else short(tokens) for tokens in ways)


def _print_accounting(faults: list[Fault]) -> None:
    if not faults:
        print("accounting: every tensor of the model is there once, with its shape and format, and no other")
        return
    for fault in faults[:FAULTS_SHOWN]:
        print(f"fault: tensor {fault.name} {fault.text}")
    more = len(faults) - FAULTS_SHOWN
    rest = f", {more:,} of them not shown (--json has all)" if more > 0 else ""
    print(f"accounting: {len(faults):,} {'fault' if len(faults) == 1 else 'faults'}{rest}")
