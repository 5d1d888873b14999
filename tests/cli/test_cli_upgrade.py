"""`hopwell upgrade`: a page, JSON, and faults in one line."""

from __future__ import annotations

import json
import re

import pytest
from commands import hopwell, refused

ASKED = ("upgrade", "deepseek-r1", "--have", "32xh100", "--to", "b200")


@pytest.mark.slow
def test_a_page_and_json() -> None:
    ran = hopwell(*ASKED)
    assert ran.code == 0 and "Software first" in ran.out and "What the saving rests on" in ran.out
    page = hopwell(*ASKED, "--markdown").out
    assert page.startswith("# Upgrade of 32 x H100") and "## Other GPUs" in page
    document = json.loads(hopwell(*ASKED, "--json", "--rate", "2").out)
    assert document["rate"] == 2 and {move["gpu"] for move in document["moves"]} == {"H100", "B200"}


@pytest.mark.slow
def test_a_loss_is_no_saving() -> None:
    told = hopwell("upgrade", "--have", "16xh100", "--rate", "200").out
    assert "times that" in told and "the most is saved" not in told
    assert re.search(r"costs more than now whatever is done; the least if you .*: \$[\d.]+ M in 36 months", told)
    assert re.search(r"between \$[\d.]+ M and \$[\d.]+ M when", told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--have", "h100"), "--have is 'h100', not a count and a GPU; give, for instance, 8xH100"),
        (("--have", "8xh100,8xh200"), "--have: GPU 'h100,8xh200' is not in the catalogue"),
        (("--have", "8xh100"), "as it is"),
        (("--have", "8xfoo"), "--have: GPU 'foo' is not in the catalogue"),
        (("--to", "0xh200"), "--to: '0xh200' has no GPU"),
        (("--engine", "ollama"), "--engine: 'ollama' is not known"),
        (("--engine", "sglang,vllm"), "--engine: 'sglang,vllm' is not known"),
        (("--tpot", "1ms"), "the best reachable is"),
        (("--input", "163k", "--ttft", "1000s"), "--output come to 164,000 tokens; deepseek-r1 reads 163,840"),
        (("--have", "8xa100"), "as it is: A100: no engine that may be used serves the model"),
    ],
)
def test_faults_name_the_option(arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(*ASKED, *arguments)
