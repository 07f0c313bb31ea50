"""Which endpoints of a version ask for the same scopes, as the regexes that lead to them.

Kong tries regexes by a priority that belongs to a route. Where templates of different groups match the same call, the
more specific one stands a level higher, so that a few routes for each group are enough however many endpoints it has.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from kong_sync.domain.records import Endpoint, Scopes

_PARAMETER = re.compile(r"\{[^{}]*\}")
_SPECIAL = re.compile(r"[.\\+*?()|\[\]{}^$]")
# One parameter: a segment without an encoded slash or a backslash, which the provider's server may take for a slash,
# and so for another endpoint. Kong has decoded all else before it looks.
_ESCAPES = "%[^2/]|%2[^F/]"
_UNIT = rf"[^/%\\]|{_ESCAPES}"
_ANY = f"(?:{_UNIT})+"
_LONGEST_REGEX = 4_000
# Each level is some routes. No document written by hand comes near; one made to have thousands gets none.
_HIGHEST_LEVEL = 9


@dataclass(frozen=True, slots=True)
class Group:
    """Endpoints of the same methods that ask for the same scopes, as a route sees them; a higher `level` comes first.

    `scopes` None: nobody knows which, so that only keys without restriction pass.
    """

    scopes: Scopes
    methods: tuple[str, ...]
    level: int
    templates: tuple[Template, ...]

    def paths(self, prefix: str, *, besides: Collection[str] = ()) -> list[str]:
        """Kong's regex paths of the templates below `prefix`, in upper and lower case: some servers do not mind either.

        None of them matches a path whose first segment is one of `besides`: something else answers there.
        """
        regexes = sorted(regex for t in self.templates if (regex := t.regex(besides)) is not None)
        return [f"~{escaped(prefix)}(?i:{'|'.join(some)})$" for some in _in_chunks(regexes)]


@dataclass(frozen=True, slots=True)
class Template:
    """A path template by its segments; an empty last one is a slash at the end."""

    segments: tuple[_Segment, ...]

    @classmethod
    def of(cls, path: str) -> Template:
        """The template that `path` spells. Kong has merged slashes before it looks."""
        names = [name for name in path.split("/") if name]
        return cls(tuple(_Segment.of(name) for name in (*names, *([""] if path.endswith("/") else []))))

    @property
    def looseness(self) -> tuple[int, ...]:
        """Smaller for the more specific of two that match the same call: literals from the left."""
        return tuple(segment.looseness for segment in self.segments)

    @property
    def shape(self) -> str:
        """The same for templates that match the same calls."""
        return "/".join(segment.regex for segment in self.segments).lower()

    def regex(self, besides: Collection[str]) -> str | None:
        """What the path below the version's looks like; None when it could only be taken for one of `besides`."""
        first, *rest = self.segments
        if not rest and first.literal == "":
            return "/?"
        start = first.regex
        if any(re.fullmatch(first.regex, name, re.IGNORECASE) for name in besides):
            if not first.is_any:
                return None
            start = _besides(frozenset(besides), may_end=False)
        return "".join(f"/{regex}" for regex in (start, *(segment.regex for segment in rest)))


@dataclass(frozen=True, slots=True)
class _Segment:
    regex: str
    literal: str | None
    looseness: int

    @classmethod
    def of(cls, text: str) -> _Segment:
        around = _PARAMETER.split(text)
        if len(around) == 1:
            return cls(escaped(text), text.lower(), 0)
        return cls(_ANY.join(escaped(part) for part in around), None, 1 if any(around) else 2)

    @property
    def is_any(self) -> bool:
        return self.regex == _ANY


@dataclass(slots=True)
class _Node:
    """The templates placed so far, by segments; parameters stand under None.

    Of those that end here, and of all here and below, it knows the highest level by what they ask for.
    """

    below: dict[str | None, _Node] = field(default_factory=dict)
    ending: dict[Scopes, int] = field(default_factory=dict)
    beneath: dict[Scopes, int] = field(default_factory=dict)

    def level_for(self, segments: tuple[_Segment, ...], scopes: Scopes, level: int = 0) -> int:
        """At least `level`, and above every template that asks for something else and may match the same call."""
        known = self.beneath if segments else self.ending
        above = max((placed + 1 for asked, placed in known.items() if asked != scopes), default=0)
        if above <= level:
            return level
        if not segments:
            return above
        literal = segments[0].literal
        for name in list(self.below) if literal is None else [literal, None]:
            if level < above and name in self.below:
                level = self.below[name].level_for(segments[1:], scopes, level)
        return level

    def place(self, segments: tuple[_Segment, ...], scopes: Scopes, level: int) -> None:
        node = self
        node.beneath[scopes] = max(level, node.beneath.get(scopes, 0))
        for segment in segments:
            node = node.below.setdefault(segment.literal, _Node())
            node.beneath[scopes] = max(level, node.beneath.get(scopes, 0))
        node.ending[scopes] = max(level, node.ending.get(scopes, 0))


@functools.lru_cache(maxsize=1_024)  # every pass asks, and a document seldom changes
def groups_of(endpoints: tuple[Endpoint, ...]) -> tuple[Group, ...]:
    """The groups of a version's endpoints that routes have to tell apart, in a fixed order.

    A HEAD that the document does not name is answered by its GET. Endpoints of which nobody knows what they ask for are
    left to the version's own route, but for those that a looser template of another group would take. None at all, so
    that no restricted key passes, where the templates overlap too often to tell them apart by a few routes.
    """
    by_method: dict[str, list[tuple[Template, Scopes]]] = defaultdict(list)
    for endpoint in endpoints:
        by_method[endpoint.method].append((Template.of(endpoint.path), endpoint.scopes))
    found = []
    for method, templates in by_method.items():
        methods = ("GET", "HEAD") if method == "GET" and "HEAD" not in by_method else (method,)
        grouped: dict[tuple[Scopes, int], list[Template]] = defaultdict(list)
        for template, scopes, level in _placed(templates):
            if scopes is not None or level:
                grouped[scopes, level].append(template)
        found += [Group(scopes, methods, level, tuple(some)) for (scopes, level), some in grouped.items()]
    if any(group.level > _HIGHEST_LEVEL for group in found):
        return ()
    return tuple(sorted(found, key=lambda g: (g.methods, g.level, g.scopes is not None, g.scopes or ())))


def _placed(templates: Sequence[tuple[Template, Scopes]]) -> Iterator[tuple[Template, Scopes, int]]:
    """Each template with its level: above every looser one of another group that may match the same call.

    Of templates that differ in upper and lower case alone, nobody knows which one a call is for.
    """
    root = _Node()
    asked: dict[str, set[Scopes]] = defaultdict(set)
    for template, scopes in templates:
        asked[template.shape].add(scopes)
    for template, said in sorted(templates, key=lambda t: (t[0].looseness, t[0].shape), reverse=True):
        scopes = said if len(asked[template.shape]) == 1 else None
        level = root.level_for(template.segments, scopes)
        root.place(template.segments, scopes, level)
        yield template, scopes, level


def _besides(words: frozenset[str], *, may_end: bool) -> str:
    """A regex for the rest of a segment that is none of `words`; some engines of Kong know no look-ahead."""
    first = sorted({word[0] for word in words if word})
    without = "".join(f"\\{letter}" if letter in "-.^]" else letter for letter in first)
    branches = [rf"(?:[^/%\\{without}]|{_ESCAPES})(?:{_UNIT})*"]
    for letter in first:
        rest = frozenset(word[1:] for word in words if word.startswith(letter))
        branches.append(escaped(letter) + _besides(rest, may_end="" not in rest))
    return f"(?:{'|'.join(branches)}){'?' if may_end else ''}"


def _in_chunks(regexes: Iterable[str]) -> Iterator[list[str]]:
    """Few regexes, since Kong keeps each compiled, and none too long to compile."""
    chunk: list[str] = []
    for regex in regexes:
        if chunk and sum(map(len, chunk)) + len(regex) > _LONGEST_REGEX:
            yield chunk
            chunk = []
        chunk.append(regex)
    if chunk:
        yield chunk


def escaped(text: str) -> str:
    """A regex for `text` itself, in all of Kong's engines."""
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", text)
