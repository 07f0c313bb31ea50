"""Finding the endpoint of a path among 10,000 templates, in multiples of one look-up in a dict."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable

from metering.domain.matcher import Endpoint, Matcher

TEMPLATES, PATHS, ROUNDS = 10_000, 2_000, 5
ID = "01930000-0000-7000-8000-{:012x}"


def template(number: int) -> str:
    """Of 100 resources with 100 sub-resources each; every second one ends in a parameter."""
    end = "" if number % 2 else "/{item}"
    return f"/resource{number // 100}/{{id}}/part{number % 100}{end}"


def fastest(action: Callable[[], object]) -> float:
    """CPU seconds of the fastest of some rounds: the one that others disturbed least."""
    took = []
    for _ in range(ROUNDS):
        began = time.process_time()
        action()
        took.append(time.process_time() - began)
    return min(took)


def main() -> None:
    """Prints the figures."""
    endpoints = [Endpoint(ID.format(n), "GET", template(n), 1) for n in range(TEMPLATES)]
    few, many = Matcher(endpoints[:10]), Matcher(endpoints)
    wanted = [n * 7 % TEMPLATES for n in range(PATHS)]
    paths = [template(n).replace("{id}", f"{n * 31}").replace("{item}", f"{n * 17}") for n in wanted]
    found = [many.match("GET", path) for path in paths]
    if [endpoint and endpoint.endpoint_id for endpoint in found] != [ID.format(n) for n in wanted]:
        raise SystemExit("a path was matched to another template")
    known = dict.fromkeys(paths)
    patterns = [re.compile(re.sub(r"\{\w+\}", "[^/]+", e.path)) for e in endpoints]
    sample = paths[:: PATHS // 20]
    look_up = fastest(lambda: [known["/" + path[1:]] for path in paths]) / PATHS
    matched = fastest(lambda: [many.match("GET", path) for path in paths]) / PATHS
    in_turn = fastest(lambda: [next(p for p in patterns if p.fullmatch(path)) for path in sample]) / len(
        sample
    )
    of_ten = [template(n % 10).replace("{id}", f"{n}").replace("{item}", f"{n}") for n in range(PATHS)]
    among_ten = fastest(lambda: [few.match("GET", path) for path in of_ten]) / PATHS
    ratios = {
        "dict": round(matched / look_up, 1),
        "each_in_turn": round(matched / in_turn, 5),
        "ten_templates": round(matched / among_ten, 2),
    }
    if "--json" in sys.argv:
        print(json.dumps({"ratios": ratios}))
        return
    print(f"{TEMPLATES} templates: {matched * 1e6:.2f} µs a path (CPU, the fastest of {ROUNDS} rounds)")
    print(f"÷ one look-up in a dict of whole paths     {ratios['dict']:8.1f}")
    print(f"÷ the same among ten templates             {ratios['ten_templates']:8.2f}")
    print(f"÷ trying compiled expressions in turn      {ratios['each_in_turn']:8.5f}")


if __name__ == "__main__":
    main()
