"""The page pool and the prefix cache against a model that a reader can check by eye."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hopwell.cache.policies import new_policy
from hopwell.cache.policy import POLICY_NAMES, Use
from hopwell.cache.pool import PagePool, PoolExhausted
from hopwell.cache.prefix import PAGE, page_keys, root_key


def keep_all(pool: PagePool, keys: Sequence[Hashable], pages: list[int]) -> None:
    """Keeps a prompt's pages, in place."""
    for i, key in enumerate(keys):
        pages[i] = pool.keep(key, pages[i], pages[i - 1] if i else None)


class PoolMachine(RuleBasedStateMachine):
    """Sequences come, share, fill and keep pages, and go; the pool must always know who uses what."""

    @initialize(pages=st.integers(1, 12), policy=st.sampled_from(POLICY_NAMES))
    def start(self, pages: int, policy: str) -> None:
        self.now = 0.0
        self.pool = PagePool(pages, new_policy(policy, pages), clock=self.clock)
        self.held: list[tuple[list[int], list[int]]] = []  # (prefix as numbers, pages)
        self.filled: dict[int, tuple[int, ...]] = {}  # what each page holds: its whole prefix

    def clock(self) -> float:
        self.now += 1.0
        return self.now

    @rule(prompt=st.lists(st.integers(0, 2), min_size=1, max_size=6), keep=st.integers(0, 6))
    def admit(self, prompt: list[int], keep: int) -> None:
        keys = [tuple(prompt[: i + 1]) for i in range(len(prompt))]
        pages = self.pool.share(keys)
        for i, page in enumerate(pages):
            assert self.filled[page] == keys[i], "a shared page holds another prefix"
        missing = len(prompt) - len(pages)
        if missing > self.pool.available:
            with pytest.raises(PoolExhausted):
                self.pool.allocate(missing)
            self.pool.release(pages)
            return
        pages += self.pool.allocate(missing)
        in_use = {page for _, others in self.held for page in others}
        assert not in_use & set(pages[len(prompt) - missing :]), "a page in use was given away"
        for i in range(len(prompt) - missing, len(prompt)):
            self.filled[pages[i]] = keys[i]
        for i in range(min(keep, len(prompt))):
            pages[i] = self.pool.keep(keys[i], pages[i], pages[i - 1] if i else None)
            assert self.filled[pages[i]] == keys[i]
        self.held.append((prompt, pages))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), ended=st.booleans())
    def leave(self, data: st.DataObject, ended: bool) -> None:
        prompt, pages = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.pool.release(pages, Use(len(prompt)) if ended else None)

    @rule()
    def flush(self) -> None:
        self.pool.flush()
        assert self.pool.prefix.idle == 0

    @invariant()
    def kept_pages_are_whole_prefixes(self) -> None:
        kept = {self.filled[page] for page in range(self.pool.num_pages) if page in self.pool.prefix}
        assert all(prefix[:-1] in kept for prefix in kept if len(prefix) > 1), "a page is kept that cannot be found"

    @invariant()
    def accounting_sums(self) -> None:
        self.pool.check([pages for _, pages in self.held])
        assert self.pool.available == self.pool.num_pages - len({p for _, pages in self.held for p in pages})

    def teardown(self) -> None:
        if hasattr(self, "pool"):
            for _, pages in self.held:
                self.pool.release(pages)
            self.pool.check()


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


def naive_leaf_lru(requests: list[list[int]], capacity: int) -> list[int]:
    """Blocks found for each request by an obvious tree: evict the leaf that was used longest ago."""
    used: dict[tuple[int, ...], tuple[int, int]] = {}
    found = []
    for now, blocks in enumerate(requests):
        path = [tuple(blocks[: i + 1]) for i in range(len(blocks))]
        hits = 0
        while hits < len(path) and path[hits] in used:
            hits += 1
        found.append(hits)
        for node in path[:hits]:
            used[node] = (now + 1, 0)
        for node in path[hits:]:
            if len(used) == capacity:
                leaves = [n for n in used if n not in path and not any(m[:-1] == n for m in used)]
                del used[min(leaves, key=lambda n: (used[n], -len(n)))]
            used[node] = (now + 1, 0)
        for node in path:  # given back deepest first
            used[node] = (now + 1, -len(node))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_eviction_is_leaf_first_lru(seed: int) -> None:
    r = random.Random(seed)
    capacity = r.randrange(8, 20)
    requests = [[r.randrange(3) for _ in range(r.randrange(1, 7))] for _ in range(300)]
    pool, found = PagePool(capacity), []
    for blocks in requests:
        keys = [tuple(blocks[: i + 1]) for i in range(len(blocks))]
        pages = pool.share(keys)
        found.append(len(pages))
        pages += pool.allocate(len(keys) - len(pages))
        keep_all(pool, keys, pages)
        pool.release(pages)
    assert found == naive_leaf_lru(requests, capacity)
    assert sum(found) > 0


def test_a_leak_is_found() -> None:
    pool = PagePool(4)
    pages = pool.allocate(2)
    pool.check([pages])
    with pytest.raises(AssertionError, match="other users"):
        pool.check()
    with pytest.raises(AssertionError, match="other users"):
        pool.check([pages, pages])


def test_keys_tell_prefixes_and_tenants_apart() -> None:
    tokens = list(range(3 * PAGE + 5))
    keys = page_keys(tokens, root_key("a"))
    assert len(keys) == 3
    assert page_keys(tokens[: 2 * PAGE], root_key("a")) == keys[:2]
    assert page_keys(tokens[2 * PAGE :], keys[1]) == keys[2:], "chains continue from any key"
    assert not set(keys) & set(page_keys(tokens, root_key("b")))
    other = page_keys([tokens[0] + 1, *tokens[1:]], root_key("a"))
    assert not set(keys) & set(other), "a change in the first page changes all keys"


def test_two_who_fill_the_same_prefix_end_up_sharing() -> None:
    pool = PagePool(6)
    first, second = pool.allocate(2), pool.allocate(2)
    keep_all(pool, "ab", first)
    keep_all(pool, "ab", second)
    assert first == second and pool.free == 4
    pool.check([first, second])
    pool.release(first)
    assert pool.prefix.idle == 0
    pool.release(second)
    assert pool.prefix.idle == 2
    pool.check()


def test_ages_and_recomputation_are_counted() -> None:
    now = [0.0]
    ages: list[float] = []
    pool = PagePool(2, on_evict=ages.append, clock=lambda: now[0])
    pages = pool.allocate(2)
    keep_all(pool, "ab", pages)
    pool.release(pages)
    now[0] = 30.0
    pool.release(pool.allocate(1))
    assert ages == [30.0]
    assert pool.prefix.lost(["a", "b", "c"]) == 1, "b, the leaf, was given up; a is kept and c never was"
    assert pool.prefix.match(["a", "b"]) == pages[:1]
