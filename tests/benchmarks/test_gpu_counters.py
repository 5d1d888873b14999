"""What a server and a profiler print, as the benches read it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmarks import bills
from benchmarks.meter_bytes import counted
from hopwell.errors import HopwellError

METRICS = """# TYPE hopwell_energy_joules counter
hopwell_energy_joules_total{model="m",tenant="many",phase="prompt"} 10.5
hopwell_energy_joules_total{model="m",tenant="many",phase="decode"} 2
hopwell_energy_joules_total{model="m",tenant="long",phase="decode"} 4e0
hopwell_energy_idle_joules_total{model="m"} 3.0
hopwell_energy_owed_joules{model="m"} 1e1
"""
PRINTED = """==PROF== Connected to process 1
"ID","Process ID","Kernel Name","Metric Name","Metric Unit","Metric Value"
"0","1","hopwell_3_/_add_norm","dram__bytes_read.sum","Mbyte","1,234.5"
"0","1","hopwell_3_/_add_norm","dram__bytes_write.sum","byte","12"
"1","1","elementwise","dram__bytes_read.sum","Kbyte","7"
"""


def test_joules_are_summed_by_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bills.httpx, "get", lambda *_, **__: SimpleNamespace(text=METRICS))
    assert bills.billed("http://server") == {"many": 12.5, "long": 4.0, "idle": 3.0, "owed": 10.0}


def test_bytes_are_those_of_kernels_in_a_range() -> None:
    assert list(counted(PRINTED)) == [(3, 1_234_500_000.0), (3, 12.0)]
    with pytest.raises(HopwellError, match="has counted nothing: ==ERROR=="):
        list(counted("==ERROR== no permission"))
