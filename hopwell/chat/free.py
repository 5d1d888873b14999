"""Which names a template looks up that it has not set itself: what a caller can tell it.

Jinja's own list has names too that are set in a branch and read in that branch alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from jinja2 import nodes


def free_names(template: nodes.Template) -> frozenset[str]:
    """Names that are read before they are set, on some way through the template, globals among them."""
    found = set[str]()
    _read(template.body, set(), found)
    return frozenset(found)


def _read(body: Iterable[nodes.Node], known: set[str], found: set[str]) -> None:
    """Goes through nodes in the order in which they run; `known` gains what they set, `found` what they read before."""
    for node in body:
        match node:
            case nodes.Name(ctx="load"):
                found |= {node.name} - known
            case nodes.Name():
                known.add(node.name)
            case nodes.NSRef():
                found |= {node.name} - known
            case nodes.Assign():
                _read([node.node, node.target], known, found)
            case nodes.AssignBlock():
                _read([*([node.filter] if node.filter else ()), *node.body], set(known), found)
                _read([node.target], known, found)
            case nodes.If():
                _branches(node, known, found)
            case nodes.For():
                _read([node.iter], known, found)
                inner = {*known, "loop"}
                _read([node.target, *([node.test] if node.test else ()), *node.body], inner, found)
                _read(node.else_, set(known), found)
            case nodes.With():
                _read(node.values, known, found)
                _read([*node.targets, *node.body], set(known), found)
            case nodes.Macro() | nodes.CallBlock():
                if isinstance(node, nodes.Macro):
                    known.add(node.name)
                else:
                    _read([node.call], known, found)
                inner = {*known, "caller", "varargs", "kwargs"}
                _read([*node.defaults, *node.args, *node.body], inner, found)
            case nodes.Block() | nodes.FilterBlock() | nodes.Scope():
                _read(node.iter_child_nodes(), set(known), found)
            case _:
                _read(node.iter_child_nodes(), known, found)


def _branches(node: nodes.If, known: set[str], found: set[str]) -> None:
    """What all branches set is set behind them."""
    _read([node.test], known, found)
    ends = [set(known)]
    _read(node.body, ends[0], found)
    for branch in node.elif_:
        _read([branch.test], known, found)
        ends.append(set(known))
        _read(branch.body, ends[-1], found)
    ends.append(set(known))
    _read(node.else_, ends[-1], found)
    known |= set.intersection(*ends)
