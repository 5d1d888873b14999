"""Trains nano from scratch, or on from saved weights.

    python -m training.nano.train --out out/nano --steps 6000

Writes to --out: weights-*.safetensors (bf16, to resume from and to export), log.json (settings, loss curve, accuracy
by task, expert loads), loss.png. `--minutes` bounds the time: the schedule then runs by the clock where that is faster.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from pathlib import Path
from typing import TextIO

import torch
from tokenizers import Tokenizer
from torch import Tensor

from hopwell.model import NANO
from hopwell.model.config import ModelConfig
from training.nano.data import BLOCK_TOKENS, Loader, TokenBlock
from training.nano.decode import accuracy
from training.nano.export import load_checkpoint, load_parts, save_parts
from training.nano.network import FP8, Block, Network, balance_loss, initial, loads, parameter_count, rope_table
from training.nano.optimizer import Optimizer, Rounded, fp8_round
from training.nano.tasks import TASKS, Problem, held_out_problems, outside_problems, unseen_problems

BALANCE_WEIGHT = 1e-4
BIAS_SPEED = 1e-3
WARM_STEPS = 5
"""Steps that compile; the clock starts after them."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=float, default=1e9, help="training time, start-up and evaluation not counted")
    parser.add_argument("--blocks", type=int, default=4, help=f"blocks of {BLOCK_TOKENS} tokens a step")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--stable", type=float, default=0.3, help="part of the run before the rate falls")
    parser.add_argument("--fp8-from", type=float, default=0.75, help="part of the run after which weights are FP8")
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--resume", type=Path, help="a folder with weights-*.safetensors, or a checkpoint")
    parser.add_argument("--problems", type=int, default=200, help="held-out problems a task at the end")
    parser.add_argument("--unseen", type=int, default=42, help="problems a task in wordings that training never saw")
    parser.add_argument("--outside", type=int, default=300, help="questions that must be declined")
    parser.add_argument("--config", type=Path, default=NANO / "config.json")
    parser.add_argument("--block-tokens", type=int, default=BLOCK_TOKENS, help=argparse.SUPPRESS)
    return parser.parse_args()


class Batch:
    """A step's blocks as flat tensors on the device."""

    def __init__(self, drawn: list[TokenBlock], rope: Tensor) -> None:
        device = rope.device
        self.blocks: list[Block] = []
        flat, positions, starts, ends, first = [], [], [], [], 0
        for block in drawn:
            rows, length = block.tokens.shape
            self.blocks.append(Block(slice(first, first + rows * length), length))
            first += rows * length
            flat.append(torch.from_numpy(block.tokens.astype("int64")).flatten())
            positions.append(torch.arange(length).repeat(rows))
            starts.append(torch.from_numpy(block.start).repeat_interleave(length))
            ends.append(torch.from_numpy(block.end).repeat_interleave(length))
        flat_parts = (flat, positions, starts, ends)
        tokens, position, start, end = (torch.cat(part).to(device, non_blocking=True) for part in flat_parts)
        self.tokens, self.rope = tokens, rope[position]
        self.next, self.after = tokens.roll(-1), tokens.roll(-2)
        self.real = (position < end).float()
        # position i predicts i + 1, and its draft i + 2: only the completion is learned
        self.weight = ((position + 1 >= start) & (position + 1 < end)).float()
        self.draft_weight = ((position + 2 >= start) & (position + 2 < end)).float()


class Trainer:
    """Parameters, optimizer and data of one run."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        tokenizer = NANO / "tokenizer.json"
        self.loader = Loader(tokenizer, args.seed, args.workers, args.block_tokens, pool=64 * args.blocks)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        gpu = self.device.type == "cuda"
        torch.manual_seed(args.seed)
        self.config = ModelConfig.from_file(args.config)
        self.net = Network(self.config, compiled=gpu)
        c = self.config
        if args.resume:
            load = load_parts if any(args.resume.glob("weights-*")) else load_checkpoint
            self.masters, self.bias = load(args.resume, self.device)
        else:
            self.masters = initial(c, args.seed, self.device)
            moe_layers = c.num_hidden_layers + 1 - c.first_k_dense_replace
            self.bias = torch.zeros(moe_layers, c.n_routed_experts, device=self.device)
        self.rounded = Rounded(self.masters, torch.bfloat16 if gpu else torch.float32)
        self.optimizer = Optimizer(self.masters, c.moe_intermediate_size, args.weight_decay)
        self.rope = rope_table(c, 1024, self.device)
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.log: dict = {
            "arguments": {k: v for k, v in vars(args).items() if not isinstance(v, Path)},
            "curve": [],
            "evaluations": [],
        }
        self.log["parameters"] = parameter_count(self.masters)
        self.log["device"] = torch.cuda.get_device_name() if gpu else "cpu"
        self.log["torch"] = torch.__version__
        self.stop = False

    def rate(self, done: float, step: int) -> float:
        """Warm-up, constant, then linear to zero."""
        return self.args.lr * min(1.0, (step + 1) / self.args.warmup, max(0.0, (1 - done) / (1 - self.args.stable)))

    def step(self, batch: Batch, lr: float, mtp_weight: float, fp8: bool) -> tuple[Tensor, ...]:
        """One update; returns loss, share right, the same of the MTP layer, and the busiest experts over mean."""
        p, net = self.rounded.copies, self.net
        x, layers, routing = net.hidden(p, self.bias, batch.tokens, batch.rope, batch.blocks)
        loss, right = net.loss(x, p["final_norm"], p["head"], batch.next, batch.weight)
        x = net.draft_hidden(p, layers, self.bias, x, batch.next, batch.rope, batch.blocks, routing)
        mtp_loss, mtp_right = net.loss(x, p["mtp_norm"], p["head"], batch.after, batch.draft_weight)
        balance = balance_loss(routing, batch.blocks, batch.real, self.config.router.top_k)
        (loss + mtp_weight * mtp_loss + BALANCE_WEIGHT * balance).backward()
        load = loads(routing, batch.real)
        self.bias += BIAS_SPEED * (load.mean(-1, keepdim=True) - load).sign()
        gradients = self.rounded.take_gradients()
        self.optimizer.step(gradients, lr)
        self.rounded.refresh(fp8)
        return loss.detach(), right, mtp_loss.detach(), mtp_right, load.max(-1).values / load.mean(-1)

    def train(self) -> None:
        """Steps until the schedule, the clock or a signal ends it; saves on the way."""
        args = self.args
        begun, started = time.time(), None
        step, done = 0, 0.0
        while done < 1 and not self.stop:
            batch = Batch(self.loader.draw(args.blocks), self.rope)
            result = self.step(batch, self.rate(done, step), 0.3 if done < 0.7 else 0.1, done >= args.fp8_from)
            step += 1
            if step == WARM_STEPS:
                _wait(self.device)
                started = time.time()
                self.log["compile_seconds"] = started - begun
            elapsed = time.time() - started if started else 0.0
            done = max(step / args.steps, elapsed / (60 * args.minutes))
            if step % 50 == 0 or step == 1:
                self.record(step, elapsed, result, self.rate(done, step))
            if step % 500 == 0:
                save_parts(args.out, self.masters, self.bias)
        _wait(self.device)
        self.loader.close()
        self.log["steps"], self.log["train_seconds"] = step, time.time() - begun
        self.log["tokens"] = step * args.blocks * args.block_tokens
        self.save()

    def record(self, step: int, elapsed: float, result: tuple[Tensor, ...], lr: float) -> None:
        """One row of the log."""
        loss, right, mtp_loss, mtp_right, imbalance = (round(r.mean().item(), 6) for r in result)
        row = {"step": step, "seconds": round(elapsed, 1), "lr": round(lr, 8), "loss": loss, "right": right}
        row |= {"mtp_loss": mtp_loss, "mtp_right": mtp_right, "imbalance": imbalance}
        self.log["curve"].append(row)
        if step % 200 == 0 or step == 1:
            print(json.dumps(row), flush=True)

    def evaluate(self, seed: int = 1) -> None:
        """Held-out accuracy, wordings known and unseen: FP8 weights, bf16 weights, FP8 at temperature 0.6."""
        args = self.args
        asked: dict[str, list[Problem]] = {
            "known": [p for task in TASKS for p in held_out_problems(task, args.problems, seed)],
            "unseen": [p for task in TASKS for p in unseen_problems(task, args.unseen, seed)],
            "outside": outside_problems(args.outside, seed),
        }
        plain = Network(self.config, compiled=False)
        with (args.out / "wrong.txt").open("w", encoding="utf-8") as file:
            for kind, temperature in (("fp8", 0.0), ("bf16", 0.0), ("fp8", 0.6)):
                p = {n: m.to(self.rounded.dtype) for n, m in self.masters.items()}
                if kind == "fp8":
                    p |= {n: fp8_round(self.masters[n]).to(self.rounded.dtype) for n in FP8}
                for wording, problems in asked.items():
                    result = accuracy(plain, p, self.bias, self.tokenizer, problems, temperature)
                    row = {"weights": kind, "temperature": temperature, "wording": wording, "problems": len(problems)}
                    row |= {"mtp_acceptance": result[1], "accuracy": result[0]}
                    self.log["evaluations"].append(row)
                    print(json.dumps(row), flush=True)
                    if kind == "fp8" and not temperature:
                        _tell(file, wording, result[2])
                self.save()

    def save(self) -> None:
        """Weights and log."""
        save_parts(self.args.out, self.masters, self.bias)
        (self.args.out / "log.json").write_text(json.dumps(self.log, indent=1) + "\n", encoding="utf-8")


def _tell(file: TextIO, wording: str, wrong: list[tuple[Problem, list[str]]]) -> None:
    """What went wrong, to read."""
    for problem, texts in wrong:
        asked = " / ".join(m["content"] or "" for m in problem.messages if m["role"] != "system")
        file.write(f"== {wording} {problem.task}: {asked}\n-- right: {problem.thinking}\n{problem.reply}\n")
        file.write("-- wrote: " + "\n".join(texts) + "\n")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_float32_matmul_precision("highest")
    trainer = Trainer(args)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(trainer, "stop", True))
    trainer.train()
    if args.problems:
        trainer.evaluate()


if __name__ == "__main__":
    main()
