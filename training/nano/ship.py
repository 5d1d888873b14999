"""Puts trained weights into the package: R1's FP8 layout, and the training's log and loss curve beside this script.

python -m training.nano.ship out/nano              # -> hopwell/model/nano/model.safetensors
python -m training.nano.ship out/nano --bf16 DIR   # a bf16 checkpoint, to compare with
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch

from hopwell.model import NANO
from training.nano.export import load_parts, write

HERE = Path(__file__).parent
COMPANIONS = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")


def plot(runs: list[dict], path: Path) -> None:
    """Loss of the next token and of the MTP layer's draft over tokens seen, one run after another."""
    from matplotlib import pyplot as plt

    seen: list[float] = []
    rows: list[dict] = []
    for run in runs:
        before = sum(earlier["tokens"] for earlier in runs[: runs.index(run)])
        rows += run["curve"]
        seen += [(before + row["step"] * run["tokens"] / run["steps"]) / 1e6 for row in run["curve"]]
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for key, label in (("loss", "next token"), ("mtp_loss", "token after next (MTP)")):
        axes.semilogy(seen, [row[key] for row in rows], label=label)
    axes.set(xlabel="million tokens, padding included", ylabel="cross entropy of the completion, nats a token")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", type=Path, help="the --out folder of train.py")
    parser.add_argument("--after", type=Path, nargs="*", default=[], help="the folders of the runs it resumed from")
    parser.add_argument("--bf16", type=Path, help="write a bf16 checkpoint here instead")
    args = parser.parse_args()
    parameters, bias = load_parts(args.trained, torch.device("cpu"))
    config = json.loads((NANO / "config.json").read_text(encoding="utf-8"))
    if args.bf16:
        size = write(args.bf16, parameters, bias, config, fp8=False)
        for name in COMPANIONS:
            shutil.copy(NANO / name, args.bf16)
        print(f"{args.bf16 / 'model.safetensors'}: {size:,} bytes")
        return
    size = write(NANO, parameters, bias, config, fp8=True)
    runs = [json.loads((f / "log.json").read_text(encoding="utf-8")) for f in (*args.after, args.trained)]
    (HERE / "log.json").write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
    plot(runs, HERE / "loss.png")
    print(f"{NANO / 'model.safetensors'}: {size:,} bytes")


if __name__ == "__main__":
    main()
