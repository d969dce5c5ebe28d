"""Identities by likeness of embeddings."""

import numpy as np
import pytest

from nexus.demo.street import tracker as tracker_module
from nexus.demo.street.tracker import Tracker, Vectors


def looks(*directions: tuple[float, ...]) -> Vectors:
    vectors = np.array(directions, np.float32)
    lengths: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def test_tracker_knows_someone_again() -> None:
    tracker = Tracker()
    assert tracker.identify(looks((1, 0, 0), (0, 1, 0))) == (1, 2)
    assert tracker.identify(looks((0.1, 1, 0), (1, 0.1, 0))) == (2, 1)
    assert tracker.known == 2


def test_tracker_one_identity_is_one_person_of_a_frame() -> None:
    tracker = Tracker()
    tracker.identify(looks((1, 0)))
    assert tracker.identify(looks((1, 0.3), (1, 0.1))) == (2, 1)


def test_tracker_follows_a_look_that_changes_slowly() -> None:
    tracker = Tracker()
    for degrees in range(0, 181, 5):
        angle = np.radians(degrees)
        assert tracker.identify(looks((np.cos(angle), np.sin(angle)))) == (1,)


def test_tracker_forgets_who_was_not_seen_for_the_longest_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracker_module, "IDENTITIES_MAX", 2)
    tracker = Tracker()
    for direction in ((1, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1)):
        tracker.identify(looks(direction))
    assert tracker.identify(looks((1, 0, 0))) == (1,)
    assert tracker.identify(looks((0, 1, 0))) == (4,)
    assert len(tracker.identities) == 2
