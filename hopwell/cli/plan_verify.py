"""`hopwell plan verify`: a configuration run, and what was predicted beside what was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopwell.cli.options import FixedDrafts
from hopwell.cli.outputs import AsJson, check_file, print_json
from hopwell.cli.plan_calibrate import (
    EngineName,
    IgnoreEos,
    LayoutName,
    PrecisionName,
    Tokens,
    Url,
    Words,
    server_setting,
)
from hopwell.cli.servers import Key
from hopwell.errors import HopwellError

if TYPE_CHECKING:
    from hopwell.planner.calibration import Loaded
    from hopwell.planner.setting import Setting


def verify(
    model: Annotated[str, typer.Argument(help="A shipped name, a folder, or a config.json.")],
    gpus: Annotated[str, typer.Option(help="What it runs on, as 8xh200.")],
    url: Url = None,
    engine: EngineName = None,
    precision: PrecisionName = None,
    layout: LayoutName = None,
    drafts: FixedDrafts = 0,
    users: Annotated[list[int] | None, typer.Option(min=1, help="At once; repeatable.  [default: 16]")] = None,
    input_words: Words = 512,
    output_tokens: Tokens = 128,
    ignore_eos: IgnoreEos = True,
    key: Key = None,
    calibrated: Annotated[bool, typer.Option(help="Use what hopwell plan calibrate has measured here.")] = True,
    out: Annotated[
        Path | None, typer.Option(help="JSON lines to add to.  [default: in the cache folder]", callback=check_file)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run what was planned, at --url or as hopwell serve started here, and keep predicted beside measured."""

    from hopwell.cli.result import timestamp
    from hopwell.planner.calibration import NOTHING, place, read_calibration
    from hopwell.planner.verified import append, beside, rows

    setting = server_setting(model, url, gpus, engine, precision, layout, drafts, key)
    held = read_calibration() if calibrated else NOTHING
    setting = replace(setting, engine=held.applied(setting.engine, setting.gpu))
    loads, where = _measured(setting, model, url, users or [16], input_words, output_tokens, ignore_eos, key)
    about = {
        "date": timestamp(), "where": where, "name": setting.name,
        "setting": setting.as_json(), "calibrated": held.about(setting.engine, setting.gpu),
    }  # fmt: skip
    found = [{**about, **beside(setting, load)} for load in loads]
    path = out or place() / "verified.jsonl"
    append(path, found)
    if as_json:
        print_json({"file": str(path), "rows": found})
        return
    from hopwell.cli.tables import print_rows

    print_rows(rows(found), f"{setting.name}, {where}")
    for text in about["calibrated"]:
        print(f"calibrated: {text}")
    print(f"added to {path}")


def _measured(
    setting: Setting, model: str, url: str | None, users: list[int], words: int, tokens: int, ignore_eos: bool,
    key: str | None,
) -> tuple[list[Loaded], str]:  # fmt: skip
    """The loads, and where they ran."""
    from hopwell.bench.served import measure_loads, own_server
    from hopwell.cli.progress import count_progress
    from hopwell.cli.result import device_name
    from hopwell.limits.catalogue import recognise

    def measure(at: str) -> list[Loaded]:
        with count_progress("Measuring", aloud=True) as progress:
            return measure_loads(at, users, words, tokens, key=key, ignore_eos=ignore_eos, progress=progress)

    if url is not None:
        return measure(url), f"at {url}"
    if setting.engine.name != "hopwell" or setting.layout.gpus > 1:
        raise HopwellError(f"{setting.name}: only Hopwell on one GPU is started here; start it, and give its --url")
    device = device_name()
    if recognise(device) != setting.gpu:
        typer.echo(f"predicted for {setting.gpu.name}, but this is {device}: they will differ", err=True)
    options: list[Any] = ["--max-seqs", max(users), "--drafts", setting.drafts]
    if setting.precision.cache == "fp8":
        options += ["--cache-dtype", "fp8"]
    with own_server(model, [str(option) for option in options]) as here:
        return measure(here), f"hopwell serve on {device}"
