"""`hopwell synth`: synthetic checkpoints."""

from __future__ import annotations

from typing import Annotated

import typer

from hopwell.cli.outputs import NewFolder, print_json
from hopwell.errors import HopwellError

MAX_SEED = (1 << 63) - 1


def synth(
    config: Annotated[str, typer.Argument(help="A shipped config (r1-tp8, r1-slice, v2-lite, ...) or a config.json.")],
    out: NewFolder,
    layers: Annotated[int | None, typer.Option(min=1, help="Decoder layers; default: the config's.")] = None,
    dense: Annotated[int | None, typer.Option(min=0, help="Of these, the first without experts.")] = None,
    mtp: Annotated[bool | None, typer.Option("--mtp/--no-mtp", help="The MTP layer; default: the config's.")] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Of the weights; on a CPU the same seed gives the same bytes.")
    ] = 0,
    format: Annotated[
        str | None,
        typer.Option(help="Networks and experts in nvfp4, mxfp4, int4_g128 or int4_g32; default: the config's."),
    ] = None,
    attention: Annotated[str | None, typer.Option(help="With --format: bf16 or fp8.  [default: bf16]")] = None,
    device: Annotated[str, typer.Option(help="Where weights are drawn: cpu or cuda.")] = "cpu",
    routers: Annotated[
        int | None, typer.Option(min=0, help="Routers to measure with random tokens; default: 1, on a GPU 4.")
    ] = None,
    at_load: Annotated[bool, typer.Option(help="Write no weights: they are drawn where the folder is loaded.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Write a checkpoint of random weights: any config of the family, at real sizes, in R1's layout on disk, or in four
    bits as vLLM loads them.

    The folder appears whole, at the end. With --at-load it holds no weights: generate, chat and serve draw them in
    memory, each rank its own share, so that a model can be measured that no disk here holds. Nano's tokenizer is put
    beside the weights, so that engines can serve it.
    """
    from hopwell.cli.progress import byte_progress
    from hopwell.cli.tables import print_rows
    from hopwell.model.four_bits import FourBits
    from hopwell.model.shipped import find_config, truncate
    from hopwell.model.synthesis import synthesise

    four_bits = FourBits.asked(format, attention)
    if at_load and (device != "cpu" or routers is not None):
        raise HopwellError("--at-load draws nothing now; leave out --device and --routers")
    values = truncate(find_config(config), layers, dense, mtp)
    with byte_progress("Writing", "Wrote") as progress:
        report = synthesise(values, out, seed, device, routers, progress, four_bits, at_load)
    if as_json:
        print_json(report)
        return
    drawn = ", drawn at load" if at_load else ""
    print(f"{out}: {report['tensors']:,} tensors, {report['bytes']:,} bytes{drawn}, seed {seed}")
    if report["routing"]:
        print("experts that 128 random tokens touch, and the busiest expert's load over the mean, of 1,024:")
        print_rows([
            {
                "layer": row["layer"],
                "touched": f"{row['distinct']:.1f}",
                "if even": f"{row['expected_distinct']:.1f}",
                "busiest": f"{row['max_load']:.2f}",
                "if even ": f"{row['expected_max_load']:.2f}",
                "hidden rms": f"{row['rms']:.2f}",
            }
            for row in report["routing"]
        ])  # fmt: skip
