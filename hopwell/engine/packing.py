"""`hopwell pack`: a checkpoint as a snapshot, a model's folder by itself whose weights need no work to be loaded."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from hopwell.checkpoint.content import told
from hopwell.checkpoint.files import REPORT_BYTES, check_regular, check_room, new_folder
from hopwell.checkpoint.fingerprint import REPORT
from hopwell.checkpoint.reader import INDEX, Checkpoint
from hopwell.engine.defaults import engine_config, model_settings
from hopwell.engine.device import pick_device, pick_dtype, set_threads
from hopwell.engine.frontend import SMALL_FILES, Frontend, name_of, resolve
from hopwell.model.loading import config_of, load_transformer
from hopwell.model.sharding import Shard, share
from hopwell.model.snapshot import Part, Progress, Snapshot, Target, digest, write_manifest, write_part
from hopwell.model.tree import Apart
from hopwell.parallel.layout import Layout

TEXTS = (*SMALL_FILES, "additional_chat_templates/*.jinja", "LICENSE*")
"""What goes with a model's weights."""
OF_TENSORS = (INDEX, REPORT)
"""Of such files, those that tell of tensors, which a snapshot has not."""
HEAD_BYTES = 1 << 20
"""Of each shard's data that a fingerprint reads: models of one shape have the same headers."""


def pack(
    model: str | Path | None,
    out: Path,
    device: str = "auto",
    dtype: str = "auto",
    four_bits: str | None = None,
    tp: int = 1,
    ep: int = 1,
    dp_attention: bool = False,
    progress: Progress = lambda done, total, name: None,
) -> Snapshot:
    """Writes a snapshot of a checkpoint, whole or not at all: the ranks' shares one after another, on one device.

    Args:
        model, device, dtype, tp, ep, dp_attention: as `load_model` has them; so will the snapshot be loaded.
        out: a new folder.
        four_bits: as `EngineConfig` has it; None: as the device does it unasked.
        progress: called with bytes read and written, how many there will be, and what is done.

    Raises:
        HopwellError: the checkpoint cannot be loaded so, or the folder not be written.
    """
    layout, where = Layout.of(tp, ep, dp_attention), pick_device(device)
    kind = pick_dtype(dtype, where)
    asked = {} if four_bits is None else {"four_bits": four_bits}
    packed = model_settings(engine_config(asked, where, False)).four_bits == "packed"
    path = resolve(model)
    checkpoint = Checkpoint.open(path)
    config = config_of(checkpoint)
    share(config, layout)
    Frontend.open(path, config=checkpoint.config)  # a folder without a tokenizer would serve nobody
    set_threads(checkpoint.total_bytes, where, layout.world)  # as a load computes, whose bits these are to be
    target, parts = Target.of(where, kind, packed, layout), list[Part]()
    with new_folder(out, checkpoint.total_bytes) as folder:
        for rank in range(layout.world):
            parts.append(_pack_rank(checkpoint, folder, replace(layout, rank=rank), where, kind, packed, progress))
        _copy_texts(path, folder)
        source = {"name": name_of(model), "bytes": checkpoint.total_bytes, "fingerprint": fingerprint(checkpoint)}
        write_manifest(folder, checkpoint.config, target, parts, config.num_nextn_predict_layers > 0, source)
    return Snapshot.open(out)


def _pack_rank(
    checkpoint: Checkpoint,
    folder: Path,
    layout: Layout,
    device: torch.device,
    dtype: torch.dtype,
    packed: bool,
    progress: Progress,
) -> Part:
    """Writes one rank's share, and checks before that it has room, with those that are to come."""
    read = checkpoint.total_bytes

    def tell(done: int, total: int, name: str) -> None:
        progress(layout.rank * total + done, layout.world * total, name)

    def reading(done: int, total: int, name: str) -> None:
        tell(done, 2 * read, name)  # about as much will be written

    apart = Apart(load_transformer(checkpoint, device, dtype, reading, Shard(layout), packed))
    check_room(folder, (layout.world - layout.rank) * apart.nbytes)
    name = f"rank-{layout.rank}.weights"
    return write_part(folder / name, apart, lambda done: tell(read + done, read + apart.nbytes, name))


def _copy_texts(source: Path, folder: Path) -> None:
    for path in sorted(path for pattern in TEXTS for path in source.glob(pattern)):
        if path.name not in OF_TENSORS:
            check_regular(path, REPORT_BYTES)
            copy = folder / path.relative_to(source)
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, copy)


def fingerprint(checkpoint: Checkpoint) -> str:
    """What tells a checkpoint from others: SHA-256 of what config.json holds and, of each shard, its name, size, header
    and the start of its data.

    Raises:
        CheckpointError: a shard cannot be read.
    """
    found = hashlib.sha256(digest(checkpoint.config).encode())
    starts: dict[Path, int] = {}
    for tensor in checkpoint.tensors.values():
        starts[tensor.shard] = min(tensor.start, starts.get(tensor.shard, tensor.start))
    for shard, start in sorted(starts.items()):
        with told(shard), shard.open("rb") as file:
            found.update(f"{shard.name} {shard.stat().st_size} ".encode())
            found.update(file.read(start + HEAD_BYTES))
    return found.hexdigest()
