"""The two protocols in shared memory, in every order in which ranks can take their turns.

Chance does not find these faults: with one buffer in place of two, thousands of rounds may pass. So a small model of
each protocol is run through all interleavings, and so is a broken twin, which must fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

Step = tuple[str, int]
State = tuple[tuple[int, ...], ...]


def explore(start: State, moves: Callable[[State], Iterator[State]], wrong: Callable[[State], bool]) -> bool:
    """Whether no order of moves leads to a wrong state, nor to one that is not the end and has no move."""
    seen, todo = {start}, [start]
    while todo:
        state = todo.pop()
        following = list(moves(state))
        if wrong(state) or (not following and not ended(state)):
            return False
        for each in following:
            if each not in seen:
                seen.add(each)
                todo.append(each)
    return True


def ended(state: State) -> bool:
    """The last row of a state has how far each rank has come, in steps; -1 is the end."""
    return all(place == -1 for place in state[-1])


def exchange(world: int, rounds: int, buffers: int) -> bool:
    """`SharedExchange`: fill the own slot, count, wait for all counts, read the slots one by one.

    A state: each rank's slots, what each has read of the others in this round, counts, places. In round n rank r
    writes 10 n + r.
    """
    per = 2 + world  # fill, count (and wait), then a read a rank

    def moves(state: State) -> Iterator[State]:
        *slots, counts, places = state
        for rank, place in enumerate(places):
            if place == -1:
                continue
            turn, step = divmod(place, per)
            new_slots, new_counts = [list(s) for s in slots], list(counts)
            if step == 0:
                new_slots[rank][turn % buffers] = 10 * turn + rank
            elif step == 1:
                new_counts[rank] = turn + 1
            else:
                if min(counts) <= turn:
                    continue  # it waits
                if slots[step - 2][turn % buffers] != 10 * turn + step - 2:
                    yield ((-2,) * world, (-1,) * world)  # it has read another round's value
                    continue
            after = -1 if place + 1 == rounds * per else place + 1
            new_places = (*places[:rank], after, *places[rank + 1 :])
            yield (*map(tuple, new_slots), tuple(new_counts), new_places)

    start = (*((-9,) * buffers for _ in range(world)), (0,) * world, (0,) * world)
    return explore(start, moves, lambda state: state[0][0] == -2)


@pytest.mark.parametrize(("world", "rounds"), [(2, 5), (3, 3)])
def test_two_slots_a_rank_suffice_and_one_does_not(world: int, rounds: int) -> None:
    assert exchange(world, rounds, buffers=2)
    assert not exchange(world, rounds, buffers=1)


def ring(readers: int, messages: int, slots: int, heeds: bool) -> bool:
    """`Ring`: the writer waits until everybody has read what a slot held, fills it, counts; a reader waits for the
    count, reads, counts. Without heed of the readers' counts it is broken.

    A state: slots, counts of the writer and the readers, places.
    """

    def moves(state: State) -> Iterator[State]:
        held, counts, places = state
        for rank, place in enumerate(places):
            if place == -1:
                continue
            turn, step = divmod(place, 2)
            new_held, new_counts = list(held), list(counts)
            if rank == 0 and step == 0:
                if heeds and min(counts[1:]) <= turn - slots:
                    continue
                new_held[turn % slots] = turn
            elif step == 0:
                if counts[0] <= turn:
                    continue
                if held[turn % slots] != turn:
                    yield ((-2,), (0,), (-1,) * (readers + 1))
                    continue
            else:
                new_counts[rank] = turn + 1
            after = -1 if place + 1 == 2 * messages else place + 1
            yield tuple(new_held), tuple(new_counts), (*places[:rank], after, *places[rank + 1 :])

    start = ((-9,) * slots, (0,) * (readers + 1), (0,) * (readers + 1))
    return explore(start, moves, lambda state: state[0][0] == -2)


def test_a_ring_fills_no_slot_that_somebody_has_to_read() -> None:
    assert ring(readers=2, messages=5, slots=2, heeds=True)
    assert not ring(readers=2, messages=5, slots=2, heeds=False)


def values_as_flags(world: int, rounds: int, buffers: int) -> bool:
    """The fused sum of `ops/exchange_triton.py`, of one value: push into every inbox one by one, then take each rank's
    value out of the own inbox once it has come, and leave it empty.

    A state: each rank's inbox, buffer by buffer, the round that each slot holds a value of (-1: empty); places.
    """
    per = 2 * world

    def moves(state: State) -> Iterator[State]:
        *inboxes, places = state
        for rank, place in enumerate(places):
            if place == -1:
                continue
            turn, step = divmod(place, per)
            boxes = [list(box) for box in inboxes]
            first = turn % buffers * world
            if step < world:
                boxes[step][first + rank] = turn
            else:
                value = boxes[rank][first + step - world]
                if value == -1:
                    continue  # it polls
                if value != turn:
                    yield ((-2,), (-1,) * world)  # it has taken another round's value
                    continue
                boxes[rank][first + step - world] = -1
            after = -1 if place + 1 == rounds * per else place + 1
            yield (*map(tuple, boxes), (*places[:rank], after, *places[rank + 1 :]))

    start = (*((-1,) * (buffers * world) for _ in range(world)), (0,) * world)
    return explore(start, moves, lambda state: state[0][0] == -2)


@pytest.mark.parametrize(("world", "rounds"), [(2, 5), pytest.param(3, 3, marks=pytest.mark.slow)])
def test_two_inboxes_suffice_for_the_fused_sum_and_one_does_not(world: int, rounds: int) -> None:
    assert values_as_flags(world, rounds, buffers=2)
    assert not values_as_flags(world, rounds, buffers=1)


def owned_rows(world: int, rounds: int, buffers: int) -> bool:
    """The same where the value has an owner, rank 0: the others push to its inbox, it takes all and pushes what it has
    made to theirs, and they take that. In every other round nobody owns it, as above.

    A state as above.
    """
    everybody = [(kind, peer) for kind in ("push", "take") for peer in range(world)]

    def program(rank: int, turn: int) -> list[tuple[str, int]]:
        if turn % 2:
            return everybody
        others = [peer for peer in range(world) if peer]
        if rank == 0:
            return [("take", peer) for peer in others] + [("push", peer) for peer in others]
        return [("push", 0), ("take", 0)]

    programs = [[(turn, *step) for turn in range(rounds) for step in program(rank, turn)] for rank in range(world)]

    def moves(state: State) -> Iterator[State]:
        *inboxes, places = state
        for rank, place in enumerate(places):
            if place == -1:
                continue
            turn, kind, peer = programs[rank][place]
            boxes = [list(box) for box in inboxes]
            first = turn % buffers * world
            if kind == "push":
                boxes[peer][first + rank] = turn
            else:
                value = boxes[rank][first + peer]
                if value == -1:
                    continue  # it polls
                if value != turn:
                    yield ((-2,), (-1,) * world)  # it has taken another round's value
                    continue
                boxes[rank][first + peer] = -1
            after = -1 if place + 1 == len(programs[rank]) else place + 1
            yield (*map(tuple, boxes), (*places[:rank], after, *places[rank + 1 :]))

    start = (*((-1,) * (buffers * world) for _ in range(world)), (0,) * world)
    return explore(start, moves, lambda state: state[0][0] == -2)


@pytest.mark.parametrize(("world", "rounds"), [(2, 5), (3, 4)])
def test_two_inboxes_suffice_with_owners_too(world: int, rounds: int) -> None:
    assert owned_rows(world, rounds, buffers=2)
    assert not owned_rows(world, rounds, buffers=1)
