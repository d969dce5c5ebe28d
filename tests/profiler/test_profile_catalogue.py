"""A folder of profiles: saved, found, loaded; and what lies in it by mistake."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from nexus.core.errors import DocumentError, InvalidArgumentError
from nexus.profiler.catalogue import ProfileCatalogue, read_any
from nexus.profiler.measurement import BatchRow, Measurement

PUBLISHED = Path(__file__).parents[2] / "profiler/profiles/published"
MEASUREMENT = Measurement(
    model="resnet50",
    device="v100",
    rows=(BatchRow(batch=1, p50_us=8_600, p95_us=8_700, p99_us=8_800),),
)


def test_catalogue_finds_what_was_saved(tmp_path: Path) -> None:
    catalogue = ProfileCatalogue(tmp_path / "profiles")
    assert catalogue.find("resnet50", "v100") is None
    assert catalogue.load() == ()
    assert catalogue.save(MEASUREMENT) == tmp_path / "profiles" / "v100" / "resnet50.txt"
    newer = replace(MEASUREMENT, load_us=5)
    catalogue.save(newer)
    assert catalogue.find("resnet50", "v100") == newer
    assert catalogue.find("resnet50", "k80") is None


def test_catalogue_loads_all_sorted_by_device_and_model(tmp_path: Path) -> None:
    catalogue = ProfileCatalogue(tmp_path)
    for model, device in (("b", "v100"), ("a", "v100"), ("c", "k80")):
        catalogue.save(replace(MEASUREMENT, model=model, device=device))
    loaded = [(measurement.device, measurement.model) for measurement in catalogue.load()]
    assert loaded == [("k80", "c"), ("v100", "a"), ("v100", "b")]


def test_catalogue_reads_the_original_format_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "k80").mkdir()
    shutil.copy(PUBLISHED / "nexus-tesla-k80/resnet50.txt", tmp_path / "k80/resnet50.txt")
    found = ProfileCatalogue(tmp_path).find("resnet50", "k80")
    assert found is not None
    assert (found.model, found.device) == ("resnet50", "k80")
    assert found.profile().max_batch == 5


def test_catalogue_loads_the_published_folder() -> None:
    loaded = ProfileCatalogue(PUBLISHED).load()
    assert {measurement.device for measurement in loaded} == {
        "nexus-tesla-k80",
        "nexus-titan-x-pascal",
    }
    assert len(loaded) == 5


def test_catalogue_refuses_a_file_in_the_wrong_place(tmp_path: Path) -> None:
    catalogue = ProfileCatalogue(tmp_path)
    path = catalogue.save(MEASUREMENT)
    path.rename(path.with_name("resnet18.txt"))
    with pytest.raises(DocumentError, match="about the model 'resnet50', not 'resnet18'"):
        catalogue.find("resnet18", "v100")


def test_catalogue_names_the_malformed_file(tmp_path: Path) -> None:
    catalogue = ProfileCatalogue(tmp_path)
    catalogue.save(MEASUREMENT)
    (tmp_path / "v100" / "broken.txt").write_text("nexus-profile 1\nmodel: broken\n")
    with pytest.raises(DocumentError, match=r"broken\.txt:3: the header 'device' is missing"):
        catalogue.load()


def test_catalogue_refuses_names_that_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="model name"):
        ProfileCatalogue(tmp_path).find("../secrets", "v100")


def test_read_any_takes_the_names_from_our_own_format(tmp_path: Path) -> None:
    path = ProfileCatalogue(tmp_path).save(MEASUREMENT)
    assert read_any(path) == MEASUREMENT
