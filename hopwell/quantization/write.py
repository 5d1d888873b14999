"""The converted checkpoint: shards, the configuration that engines read, the report with each tensor's fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hopwell
from hopwell.checkpoint.fingerprint import REPORT, fingerprint
from hopwell.checkpoint.reader import INDEX, Checkpoint
from hopwell.formats.blocks import FORMATS, Quantized
from hopwell.formats.described import compressed_config
from hopwell.formats.fp8 import SCALES
from hopwell.formats.labels import Label
from hopwell.formats.layouts import to_compressed_tensors, to_modelopt
from hopwell.formats.residual import HighLow
from hopwell.model.schema import layer_of
from hopwell.quantization.cache_format import FILE as VERDICT
from hopwell.quantization.candidates import Make
from hopwell.quantization.files import copy_file, write_json, write_tensors, write_text
from hopwell.quantization.plan import OWN_LAYOUT
from hopwell.quantization.report import as_html, as_markdown
from hopwell.quantization.search import SOURCE, GroupRow

ALGORITHMS: dict[str, str] = {
    Label.NVFP4: "NVFP4",
    Label.MXFP4: "MXFP4",
    Label.FP8_BLOCK: "FP8_PB_WO",
    Label.FP8_CHANNEL: "FP8_PER_CHANNEL_PER_TOKEN",
}
"""ModelOpt's names for formats."""
COPIED = (".json", ".jinja", ".model", ".txt", ".py")
"""What stands beside weights, but for their index and what was decided of an FP8 cache with them as they were."""


def write_checkpoint(
    source: Checkpoint,
    out: Path,
    writer: str,
    chosen: Mapping[str, str],
    rows: Sequence[GroupRow],
    quantized: Make,
    report: dict[str, Any],
    say: Callable[[str], None],
) -> None:
    """Writes everything; a shard that a former run finished is written again only if it is not whole.

    Args:
        chosen: format of each group, or "source".
    """
    formats = {m: chosen[row.name] for row in rows for m in row.modules}
    replaced = {m for m, label in formats.items() if label != SOURCE}
    layers = sorted({row.layer for row in rows})
    shards: dict[str, dict[str, str]] = {}
    total = 0
    for index in [*layers, None]:
        label = "rest" if index is None else f"layer-{index:03}"
        tensors = dict(_copied(source, index, layers, replaced, writer))
        for row in rows:
            if row.layer == index and chosen[row.name] != SOURCE:
                for module, q in quantized(row, chosen[row.name]):
                    tensors |= {f"{module}.{s}": t for s, t in _stored(q, row, writer).items()}
        name = f"model-{label}.safetensors"
        write_tensors(out / name, tensors)
        shards[name] = {tensor: fingerprint(t) for tensor, t in tensors.items()}
        total += sum(t.nbytes for t in tensors.values())
        say(f"wrote {name}: {(out / name).stat().st_size:,} bytes")
    for path in sorted(source.path.iterdir()):
        if path.is_file() and path.suffix in COPIED and path.name not in (INDEX, VERDICT):
            copy_file(path, out / path.name)
    places = {tensor: shard for shard, prints in shards.items() for tensor in prints}
    write_json(out / INDEX, {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))})
    _write_config(source, out, writer, formats)
    report = {
        "hopwell": hopwell.__version__,
        **report,
        "source_bytes": source.total_bytes,
        "tensor_bytes": total,
        "file_bytes": sum((out / name).stat().st_size for name in shards),
        "sha256": {tensor: prints[tensor] for prints in shards.values() for tensor in sorted(prints)},
    }
    write_text(out / "PRECISION.md", as_markdown(report))
    write_text(out / "precision.html", as_html(report))
    write_json(out / REPORT, report)


def _copied(
    source: Checkpoint, index: int | None, layers: Sequence[int], replaced: set[str], writer: str
) -> Iterator[tuple[str, Tensor]]:
    """Tensors of layer `index` that stay as they are; with None, those of no converted layer."""
    for name in sorted(source.tensors):
        layer = layer_of(name)
        if (layer if layer in layers else None) != index:
            continue
        module, _, suffix = name.rpartition(".")
        if module in replaced:
            continue
        if suffix == SCALES:  # in the name and shape of the layout written
            scale = source.read(name)
            yield f"{module}.weight_scale", scale[:, None, :, None] if writer == "modelopt" else scale
        else:
            yield name, source.read(name)


def _stored(q: Quantized | HighLow, row: GroupRow, writer: str) -> dict[str, Tensor]:
    """A module's tensors; NVFP4 with the scale of what it reads, always finite and above zero."""
    nvfp4 = q.format.name == Label.NVFP4
    input_scale = torch.tensor(max(row.input_peak, 1e-6) / (6 * 448))
    if writer == "modelopt" and isinstance(q, Quantized):
        tensors = to_modelopt(q)
        if q.format.name == Label.FP8_BLOCK:
            tensors = {"weight": tensors["weight"], "weight_scale": q.scale[:, None, :, None]}
        return tensors | ({"input_scale": input_scale} if nvfp4 else {})
    return to_compressed_tensors(q) | ({"input_global_scale": (1 / input_scale).reshape(1)} if nvfp4 else {})


def _write_config(source: Checkpoint, out: Path, writer: str, formats: Mapping[str, str]) -> None:
    """config.json with a description of the formats, and ModelOpt's own file."""
    config = {k: v for k, v in source.config.items() if k != "quantization_config"}
    native = {n.removesuffix(f".{SCALES}") for n in source.tensors if n.endswith(f".{SCALES}")}
    layered = {m: label for m, label in formats.items() if label != SOURCE}
    layered |= {m: Label.FP8_BLOCK for m in native if m not in layered}
    plain = {
        n.removesuffix(".weight") for n, t in source.tensors.items() if n.endswith(".weight") and len(t.shape) == 2
    }
    ignore = sorted(plain - set(layered))
    if writer == "modelopt":
        quantized = {m: _modelopt_layer(label) for m, label in sorted(layered.items())}
        body = {
            "quant_algo": "MIXED_PRECISION",
            "kv_cache_quant_algo": None,
            "exclude_modules": ignore,
            "quantized_layers": quantized,
        }
        producer = {"name": "modelopt", "version": "0.47.0", "written_by": f"hopwell {hopwell.__version__}"}
        write_json(out / "hf_quant_config.json", {"producer": producer, "quantization": body})
        config["quantization_config"] = {
            "quant_method": "modelopt",
            "quant_algo": "MIXED_PRECISION",
            "ignore": ignore,
            "quantized_layers": quantized,
        }
    elif writer == OWN_LAYOUT:  # other engines refuse a method that they do not know
        config["quantization_config"] = {"quant_method": OWN_LAYOUT, "formats": layered, "ignore": ignore}
    else:
        config["quantization_config"] = compressed_config(layered, ignore)
    (out / "config.json").unlink(missing_ok=True)
    write_json(out / "config.json", config)


def _modelopt_layer(label: str) -> dict[str, Any]:
    columns = FORMATS[label].columns
    return {"quant_algo": ALGORITHMS[label]} | ({"group_size": columns} if FORMATS[label].bits == 4 else {})
