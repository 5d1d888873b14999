"""`hopwell plan calibrate`: the planner's constants, measured on one's own GPU or of one's own server."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopwell.cli.options import FixedDrafts
from hopwell.cli.outputs import AsJson, check_folder, print_json
from hopwell.cli.servers import Key, with_scheme
from hopwell.errors import HopwellError

if TYPE_CHECKING:
    from hopwell.bench.calibrate import Fitted
    from hopwell.planner.setting import Setting

Url = Annotated[
    str | None, typer.Option(help="An OpenAI-compatible server of yours, of any engine.", callback=with_scheme)
]
Gpus = Annotated[str | None, typer.Option(help="What it runs on, as 8xh200.")]
EngineName = Annotated[str | None, typer.Option(help="hopwell, sglang, vllm or trtllm.  [default: it says]")]
PrecisionName = Annotated[str | None, typer.Option(help="bf16, fp8, nvfp4 or int4.  [default: as released]")]
LayoutName = Annotated[str | None, typer.Option(help="As the planner names it: TP8, DP8 EP8.  [default: TP]")]
Words = Annotated[int, typer.Option(min=1, help="Of a prompt, about.")]
Tokens = Annotated[int, typer.Option(min=2, help="Of an answer.")]
IgnoreEos = Annotated[bool, typer.Option(help="Ask for answers of full length.")]


def calibrate(
    model: Annotated[
        str, typer.Argument(help="What the server runs: a shipped name, folder or config.")
    ] = "deepseek-r1",
    url: Url = None,
    gpus: Gpus = None,
    engine: EngineName = None,
    precision: PrecisionName = None,
    layout: LayoutName = None,
    drafts: FixedDrafts = 0,
    users: Annotated[list[int] | None, typer.Option(min=1, help="At once; repeatable.  [default: 1, 16, 64]")] = None,
    input_words: Words = 512,
    output_tokens: Tokens = 128,
    ignore_eos: IgnoreEos = True,
    key: Key = None,
    device: Annotated[str, typer.Option(help="cuda; cpu tries the code out, and keeps nothing.")] = "cuda",
    folder: Annotated[
        Path | None, typer.Option(help="Where it is kept.  [default: the cache folder]", callback=check_folder)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Time eight families of kernels on this GPU, in ten minutes at most; or, with --url, a server under three loads.

    What is found is kept beside what was predicted before, and hopwell plan uses it from then on.
    """
    if url is None:
        _kernels(device, folder, as_json)
    else:
        from hopwell.planner.calibration import read_calibration

        setting = server_setting(model, url, gpus, engine, precision, layout, drafts, key)
        own = read_calibration(folder).kernels.get(setting.gpu.name, {})
        from hopwell.cli.progress import count_progress

        with count_progress("Measuring", aloud=True) as progress:
            from hopwell.bench.served import measure_loads

            loads = measure_loads(
                url, users or [1, 16, 64], input_words, output_tokens, key=key, ignore_eos=ignore_eos,
                progress=progress,
            )  # fmt: skip
        _server(setting, loads, own, url, folder, as_json)


def server_setting(
    model: str, url: str | None, gpus: str | None, engine: str | None, precision: str | None, layout: str | None,
    drafts: int, key: str | None,
) -> Setting:  # fmt: skip
    """What runs at a URL, or would run here.

    Raises:
        HopwellError: an option is missing or wrong, or nothing answers there.
    """
    from hopwell.bench.served import engine_of
    from hopwell.planner.model import PlanError, read_model
    from hopwell.planner.setting import parse_setting

    if gpus is None:
        raise PlanError("--gpus is missing: say what the server runs on, as --gpus 8xh200")
    if engine is None:
        engine = "hopwell" if url is None else engine_of(url, key)
    if engine is None:
        raise PlanError(f"{url} does not say which engine it is; give --engine sglang, vllm, trtllm or hopwell")
    return parse_setting(read_model(model), gpus, engine, precision, layout, drafts)


def _kernels(device: str, folder: Path | None, as_json: bool) -> None:
    import torch

    from hopwell.bench.calibrate import calibrate as time_all
    from hopwell.bench.families import R1, TRIAL
    from hopwell.cli.progress import count_progress
    from hopwell.cli.result import device_name, environment
    from hopwell.limits.catalogue import find_gpu, recognise
    from hopwell.planner.calibration import write_kernels

    if device not in ("cuda", "cpu"):
        raise HopwellError(f"--device is {device!r}; give cuda or cpu")
    trial = device == "cpu"
    if not trial and not torch.cuda.is_available():
        raise HopwellError("PyTorch sees no NVIDIA GPU to calibrate; --url calibrates a server of yours")
    gpu = find_gpu("H200") if trial else recognise(torch.cuda.get_device_name())
    if gpu is None:
        raise HopwellError(f"{torch.cuda.get_device_name()} is not in the catalogue, so no plan can be made for it")
    about = environment()
    source = f"hopwell plan calibrate, {device_name()}, {about['date'][:10]}"
    with count_progress("Timing kernels", aloud=True) as progress:
        found = time_all(gpu, source, device, TRIAL if trial else R1, progress)
    rows = [
        {"family": c.family, "format": c.format, "what": c.what, "bytes": c.bytes, "flops": c.flops, "us": c.us}
        for fitted in found for c in fitted.cases
    ]  # fmt: skip
    entries = [fitted.entry for fitted in found]
    path = None if trial else write_kernels(entries, rows, gpu, about, folder)
    if as_json:
        print_json({**about, "file": path and str(path), "kernels": entries, "rows": rows})
        return
    from hopwell.cli.tables import print_rows

    print_rows([_line(fitted) for fitted in found], f"{device_name()}: us of a case, and errors of predictions in %")
    print("tried out on a CPU, against H200's constants: nothing is kept" if path is None else _kept(path, ""))


def _line(fitted: Fitted) -> dict[str, Any]:
    from statistics import geometric_mean

    (before, bias), (after, _) = fitted.errors(fitted.before), fitted.errors(fitted.after)
    return {
        "family": fitted.entry["family"], "format": fitted.entry["format"], "cases": len(fitted.cases),
        "predicted": f"{geometric_mean(fitted.before):.4g}",
        "measured": f"{geometric_mean([case.us for case in fitted.cases]):.4g}",
        "error": f"{100 * before:.0f}", "bias": f"{100 * bias:+.0f}", "error now": f"{100 * after:.0f}",
    }  # fmt: skip


def _server(setting: Setting, loads: list[Any], own: Any, url: str, folder: Path | None, as_json: bool) -> None:
    import hopwell
    from hopwell.cli.result import timestamp
    from hopwell.planner.calibration import fit_served, with_kernels, write_server
    from hopwell.planner.verified import beside, rows

    before = replace(setting, engine=with_kernels(setting.engine, own))
    served = fit_served(before, loads)
    now = replace(before, engine=replace(before.engine, served=served, error=served.error))
    about = {"date": timestamp(), "url": url, "hopwell": hopwell.__version__}
    path = write_server(setting, loads, about, folder)
    told, fitted = [beside(before, load) for load in loads], [beside(now, load) for load in loads]
    if as_json:
        print_json({**about, "file": str(path), "setting": setting.name, "served": asdict(served), "before": told,
                    "now": fitted})  # fmt: skip
        return
    from hopwell.cli.tables import print_rows

    lines = [{**row, "error now": new["error"]} for row, new in zip(rows(told), rows(fitted), strict=True)]
    print_rows(lines, f"{setting.name}, at {url}")
    print(f"steps take {served.step:.2f} x what was predicted; first token: {served.host_us / 1e3:,.0f} ms and "
          f"{served.first:.2f} x the kernels")  # fmt: skip
    print(_kept(path, f" for {setting.engine.title} on {setting.gpu.name}"))


def _kept(path: Path, what: str) -> str:
    """Where a calibration is, and whether plans will find it there."""
    from hopwell.planner.calibration import place

    used = f"hopwell plan uses it{what}"
    return f"kept in {path}: {used if path.parent == place() else f'{used} once it is in {place()}'}"
