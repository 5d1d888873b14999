"""The hardware catalogue: complete, plausible, found by any spelling, and of no weight to import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hopwell.limits.catalogue import CatalogueError, catalogue, find_gpu, parse_cluster, recognise


def test_every_entry_is_plausible_and_tells_its_source() -> None:
    for gpu in catalogue().values():
        assert gpu.source and gpu.title.startswith("NVIDIA")
        assert 2**34 < gpu.memory < 2**39 and gpu.usable < gpu.memory
        assert 2e11 < gpu.bandwidth < 1e13
        assert 1e14 < gpu.bf16 < 3e15
        assert gpu.fp8 is None or gpu.bf16 <= gpu.fp8 <= 2.1 * gpu.bf16
        assert gpu.fp4 is None or (gpu.fp8 is not None and 1.9 * gpu.fp8 < gpu.fp4 < 4.1 * gpu.fp8)
        assert (gpu.fp8 is None) == (gpu.sm < 89) and (gpu.fp4 is None) == (gpu.sm < 100)
        assert (gpu.nvlink > 0) == (gpu.domain > 1)
    assert {"H100", "H200", "B200", "B300", "GB200", "GB300"} <= catalogue().keys()


def test_a_gpu_is_found_by_any_spelling() -> None:
    assert find_gpu("h100") is find_gpu("H100") is catalogue()["H100"]
    assert find_gpu("RTX 4090") is find_gpu("rtx-4090") is catalogue()["RTX4090"]
    with pytest.raises(CatalogueError, match=r"'H101' is not in the catalogue; give one of A100, H100"):
        find_gpu("H101")
    assert parse_cluster("16xgb200", "--fit") == (16, catalogue()["GB200"])
    for text in ("H100", "0xH100", "x", "8xH101", "-1xH100", "8 H100"):
        with pytest.raises(CatalogueError, match=r"^--fit.* give"):
            parse_cluster(text, "--fit")


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA H20", "H20"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA GB200", "GB200"),
        ("NVIDIA B300 SXM6 AC", "B300"),
        ("NVIDIA GB300", "GB300"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTXPRO6000"),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA A100-SXM4-40GB", None),
        ("Tesla T4", None),
    ],
)
def test_what_a_driver_reports_is_recognised(device: str, name: str | None) -> None:
    found = recognise(device)
    assert (found.name if found else None) == name


def test_the_catalogue_is_read_without_torch() -> None:
    code = "import sys, hopwell.limits.catalogue as c; c.catalogue(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
