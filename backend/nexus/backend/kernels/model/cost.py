"""A predicted time as the sum of its terms, so that a choice can say what it is made of."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a predicted time, and in a few words what it consists of."""

    name: str
    time_us: float
    why: str


@dataclass(frozen=True, slots=True)
class Cost:
    """A predicted time."""

    terms: tuple[Term, ...]

    @property
    def total_us(self) -> float:
        """The whole call."""
        return sum(term.time_us for term in self.terms)

    @property
    def largest(self) -> Term:
        """The term that most of the time goes to."""
        return max(self.terms, key=lambda term: term.time_us)


def summed(costs: tuple[Cost, ...]) -> Cost:
    """Costs one after the other; terms of a name become one, explained as in the first."""
    names = dict.fromkeys(term.name for cost in costs for term in cost.terms)
    terms = []
    for name in names:
        same = [term for cost in costs for term in cost.terms if term.name == name]
        terms.append(Term(name, sum(term.time_us for term in same), same[0].why))
    return Cost(tuple(terms))
