"""lm-eval's `local-completions` against a running server, on tasks made from nano's held-out problems."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from server_fixture import nano, server

from hopwell.model import NANO
from training.nano.tasks import held_out_problems

GENERATE = """
task: nano_addition
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: generate_until
doc_to_text: "{{prompt}}"
doc_to_target: "{{answer}}"
generation_kwargs: {max_gen_toks: 300, until: ["<｜end▁of▁sentence｜>"], temperature: 0}
filter_list:
  - name: boxed
    filter: [{function: regex, regex_pattern: 'boxed\\{([0-9]+)\\}'}, {function: take_first}]
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
CHOOSE = """
task: nano_choice
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{worked}}"
doc_to_choice: "{{choices}}"
doc_to_target: 0
target_delimiter: ""
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="pip install 'hopwell[clients]'")
def test_lm_eval_finds_nano_able_to_add(tmp_path: Path) -> None:
    rows = []
    for problem in held_out_problems("addition", 8, seed=1):
        prompt = nano().template.render(problem.messages)
        wrong = [str(int(problem.answer.replace(",", "")) + d) for d in (1, 10, -1)]
        worked = f"{prompt}{problem.thinking}\n</think>\n\n{problem.reply.partition('boxed{')[0]}boxed{{"
        choices = [f"{answer}}}" for answer in (problem.answer, *wrong)]
        rows.append({"prompt": prompt, "answer": problem.answer, "worked": worked, "choices": choices})
    data = tmp_path / "problems.json"
    data.write_text("\n".join(map(json.dumps, rows)))
    for name, task in (("generate", GENERATE), ("choose", CHOOSE)):
        (tmp_path / f"{name}.yaml").write_text(task.replace("DATA", json.dumps(str(data))), encoding="utf-8")
    with server() as running:
        results = _run(tmp_path, running.url)
        metrics = running.host.engine.metrics
    assert results["nano_addition"]["exact_match,boxed"] >= 0.75
    assert results["nano_choice"]["acc,none"] >= 0.75  # by the scores of echoed prompts
    assert metrics.finished["abort"] == 0


def _run(folder: Path, url: str) -> dict[str, Any]:
    model = f"model=nano,base_url={url}/v1/completions,tokenizer={NANO},tokenizer_backend=huggingface"
    command = [
        *(sys.executable, "-m", "lm_eval", "run", "--model", "local-completions"),
        *("--model_args", model + ",num_concurrent=2,max_length=2048", "--tasks", "nano_addition,nano_choice"),
        *("--include_path", str(folder), "--output_path", str(folder / "out"), "--batch_size", "4"),
    ]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hf")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ, **offline})
    assert done.returncode == 0, done.stderr[-3000:]
    (found,) = (folder / "out").rglob("results*.json")
    return json.loads(found.read_text(encoding="utf-8"))["results"]
