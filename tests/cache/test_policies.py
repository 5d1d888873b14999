"""Policies against plain readings of what they are, and on work of which it is known what is worth keeping."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence

import numpy as np
import pytest

from hopwell.cache.hazard import SLOT, STARTS, WIDTHS, Hazards, gittins
from hopwell.cache.policies import new_policy
from hopwell.cache.policy import Hint, Use
from hopwell.cache.pool import PagePool


def visit(pool: PagePool, keys: Sequence[Hashable], use: Use) -> int:
    """One request from beginning to end; returns the pages it found."""
    pages = pool.share(keys)
    found = len(pages)
    pages += pool.allocate(len(keys) - found)
    for i in range(found, len(keys)):
        pages[i] = pool.keep(keys[i], pages[i], pages[i - 1] if i else None)
    pool.release(pages, use)
    return found


def naive_arc(keys: list[int], capacity: int) -> list[bool]:
    """Hits of the paper's figure 4, for single pages; a page that is read is held before room is made for it."""
    t1, t2, b1, b2, p, hits = [], [], [], [], 0.0, []

    def replace() -> None:
        if len(t1) > p:
            b1.append(t1.pop(0))
        else:
            b2.append(t2.pop(0))

    def trim() -> None:
        while b1 and len(t1) + len(b1) > capacity:
            del b1[0]
        while b2 and len(t1) + len(t2) + len(b1) + len(b2) > 2 * capacity:
            del b2[0]

    for key in keys:
        hits.append(key in t1 or key in t2)
        if hits[-1]:
            (t1 if key in t1 else t2).remove(key)
            t2.append(key)
            continue
        if len(t1) + len(t2) == capacity:
            if len(t1) > p or t2:
                replace()
            trim()
        if key in b1:
            p = min(p + max(1.0, len(b2) / len(b1)), capacity)
            b1.remove(key)
            t2.append(key)
        elif key in b2:
            p = max(p - max(1.0, len(b1) / len(b2)), 0.0)
            b2.remove(key)
            t2.append(key)
        else:
            t1.append(key)
        trim()
    return hits


@pytest.mark.parametrize("seed", range(4))
def test_arc_is_the_papers_on_single_pages(seed: int) -> None:
    r = random.Random(seed)
    capacity = r.randrange(5, 20)
    keys = [r.randrange(10) if r.random() < 0.5 else r.randrange(10, 200) for _ in range(2000)]
    pool = PagePool(capacity, new_policy("arc", capacity))
    found = [visit(pool, [key], Use()) == 1 for key in keys]
    assert found == naive_arc(keys, capacity)
    assert 0 < sum(found) < len(found)


def test_gittins_index_is_the_best_stop() -> None:
    hazard = np.random.default_rng(0).uniform(0.001, 0.3, (5, len(STARTS)))
    index = gittins(hazard)
    for kind, row in enumerate(hazard):
        for start in range(len(STARTS)):
            best, alive, chance, kept = 0.0, 1.0, 0.0, 0.0
            for age in range(start, len(STARTS)):
                chance += alive * row[age]
                kept += WIDTHS[age] * alive * (1 - row[age] / 2)
                alive *= 1 - row[age]
                best = max(best, chance / kept)
            assert index[kind, start] == pytest.approx(best, rel=1e-6)


def test_hazards_count_what_happened() -> None:
    """Lives of known lengths, some forgotten, counted anew from their definition."""
    r = random.Random(1)
    hazards, lives = Hazards(), []
    kind = hazards.new_kind(0, Hint.NONE)
    for now in range(1, 4000):
        if now % SLOT == 0:
            hazards.tick(now)
        hazards.begin(kind, now)
        lives.append((now, now + r.choice([1, 10, 100, 1000, 10**6]), r.random() < 0.3))
        for since, end, forgotten in lives:
            if end == now and forgotten:
                hazards.forget(kind, since, now)
            elif end == now:
                hazards.reuse(kind, since, now)
    last = 3999 // SLOT
    for age, start in enumerate(STARTS.tolist()):
        stop = start + int(WIDTHS[age])
        ages = [((min(end, 3999) // SLOT - since // SLOT), end <= 3999, gone) for since, end, gone in lives]
        reached = sum(slots >= start for slots, _, _ in ages)
        reused = sum(start <= slots < stop and ended and not gone for slots, ended, gone in ages)
        assert hazards._reused[kind, age] == reused
        # a life that ends in the slot in which it comes to an age may or may not have been counted as there
        at_start = sum(slots == start and ended for slots, ended, _ in ages) if age else 0
        assert reached - at_start <= hazards._reached[kind, age] <= reached
    assert last > STARTS[15]


def test_of_one_kind_rai_is_lru() -> None:
    pool, use = PagePool(10, new_policy("rai", 10)), Use(500, 100)
    for i in range(1000):
        visit(pool, [i], use)
        assert pool.prefix.match([max(i - 9, 0)]) and (i < 10 or not pool.prefix.match([i - 10]))


def conversations(seed: int, count: int) -> list[tuple[list[Hashable], Use]]:
    """Half of the requests are short and come again within 30 requests; half are long and never do."""
    r = random.Random(seed)
    coming: dict[int, list[list[Hashable]]] = {}
    requests: list[tuple[list[Hashable], Use]] = []
    for at in range(count):
        if due := coming.pop(at, None):
            for keys in due:
                requests.append((keys, Use(500, 100)))
            continue
        if r.random() < 0.5:
            keys: list[Hashable] = [(at, "short", *range(i)) for i in range(4)]
            coming.setdefault(at + r.randrange(10, 30), []).append(keys)
            requests.append((keys, Use(500, 100)))
        else:
            requests.append(([(at, "long", *range(i)) for i in range(12)], Use(20_000, 100)))
    return requests


def hits(policy: str, requests: list[tuple[list[Hashable], Use]], capacity: int) -> int:
    pool = PagePool(capacity, new_policy(policy, capacity))
    found = sum(visit(pool, keys, use) for keys, use in requests)
    pool.check()
    return found


def test_rai_learns_which_kind_comes_again() -> None:
    requests = conversations(0, 3000)
    lru, rai = hits("lru", requests, 80), hits("rai", requests, 80)
    every = hits("lru", requests, 100_000)
    assert lru < 0.5 * every and rai > 0.9 * every


def hinted(right: bool) -> list[tuple[list[Hashable], Use]]:
    """The same prompts all alike in length; callers say which end, or say the contrary."""
    requests: list[tuple[list[Hashable], Use]] = []
    for keys, use in conversations(1, 3000):
        ends = (use.prompt_tokens > 1000) == right
        requests.append((keys[:4], Use(500, 100, hint=Hint.END if ends else Hint.RETAIN)))
    return requests


def test_hints_help_if_they_come_true_and_do_no_harm_if_not() -> None:
    silent = [(keys, Use(500, 100)) for keys, _ in hinted(True)]
    none, right, wrong = (hits("rai", requests, 40) for requests in (silent, hinted(True), hinted(False)))
    assert right > 1.2 * none
    assert wrong > 0.9 * right, "what was said is weighed by what was seen"


def test_a_hint_holds_nothing_fast() -> None:
    pool = PagePool(8, new_policy("rai", 8))
    for i in range(100):
        visit(pool, [(i, j) for j in range(4)], Use(hint=Hint.RETAIN, priority=-1))
    assert pool.available == 8
    pool.release(pool.allocate(8))
    assert pool.prefix.idle == 0


def test_the_more_urgent_stays_longer() -> None:
    pool = PagePool(4, new_policy("rai", 4))
    for i, priority in enumerate((0, -1, 1, 0)):
        visit(pool, [i], Use(priority=priority))
    pool.release(pool.allocate(1))
    pool.allocate(pool.free)
    assert not pool.prefix.match([2]), "what is served last goes first, of two as old"
    pool.release(pool.allocate(1))
    assert not pool.prefix.match([0]) and pool.prefix.match([1]), "then the older of two alike"
