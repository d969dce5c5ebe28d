"""Handlers of image models: synthetic network outputs in, findings in frame pixels out."""

import struct

import numpy as np
import pytest

from nexus.core.errors import InvalidArgumentError
from nexus.core.finding import Region
from nexus.core.model import EngineKind, Model
from nexus.core.tensor import DataType, TensorSpec
from nexus.zoo.alphabet import ALPHABET
from nexus.zoo.arrays import array_from, bytes_elements
from nexus.zoo.handler import Handler
from nexus.zoo.handlers import handler_for
from nexus.zoo.text_recognizer import dark_on_light, read_greedily
from tests.zoo.pictures import FINDING_OUTPUTS, encode, image_tensor, picture

FRAME = image_tensor(encode(picture(200, 100)))
EMBEDDING = (TensorSpec("embedding", DataType.FP32, (-1, 1280)),)


def handler(
    name: str, outputs: tuple[TensorSpec, ...] = FINDING_OUTPUTS, **parameters: str
) -> Handler:
    return handler_for(
        Model(
            name="m",
            engine=EngineKind.EMULATED,
            handler=name,
            outputs=outputs,
            parameters=parameters,
        )
    )


def yolo_outputs(
    *boxes: tuple[float, float, float, float, int, float],
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], ...]:
    corners = np.zeros((1, 10, 4), np.float32)
    scores = np.zeros((1, 10, 80), np.float32)
    for i, (x, y, width, height, kind, score) in enumerate(boxes):
        corners[0, i] = (x, y, width, height)
        scores[0, i, kind] = score
    return corners, scores


def test_yolo_detector_boxes_are_in_frame_pixels() -> None:
    detector = handler("yolo_detector", width="416", height="416")
    samples = detector.preprocess((FRAME,), ())
    assert detector.collate(samples)[0].shape == (1, 3, 416, 416)
    # 200x100 is scaled by 2.08 and has bars of 104 above and below.
    outputs = yolo_outputs((208, 208, 208, 104, 2, 0.9), (210, 208, 208, 104, 2, 0.8))
    items, _ = detector.postprocess(outputs, samples)
    (finding,) = items[0].findings
    assert finding.label == "car"
    assert finding.score == pytest.approx(0.9)
    assert finding.region == Region(50, 25, 100, 50)


def test_yolo_detector_keeps_overlapping_boxes_of_different_classes() -> None:
    detector = handler("yolo_detector")
    samples = detector.preprocess((FRAME,), ())
    outputs = yolo_outputs((208, 208, 99, 99, 0, 0.5), (208, 208, 99, 99, 1, 0.6))
    items, _ = detector.postprocess(outputs, samples)
    assert [finding.label for finding in items[0].findings] == ["bicycle", "person"]


def test_yolo_detector_findings_are_declared_tensors_too() -> None:
    detector = handler("yolo_detector")
    sample = detector.preprocess((FRAME,), ())[0]
    boxes, scores = yolo_outputs((208, 208, 208, 104, 2, 0.9))
    outputs = np.repeat(boxes, 2, axis=0), np.concatenate((scores, np.zeros_like(scores)))
    items, tensors = detector.postprocess(outputs, (sample, sample))
    assert [len(item.findings) for item in items] == [1, 0]
    labels, confidence, corners = tensors
    assert bytes_elements(labels) == [b"car", b""]
    assert array_from(confidence).ravel().tolist() == pytest.approx([0.9, 0])
    assert array_from(corners).tolist() == [[[50, 25, 100, 50]], [[0, 0, 0, 0]]]


def test_yolo_detector_of_a_crop_speaks_of_the_frame() -> None:
    detector = handler("yolo_detector", width="32", height="32")
    samples = detector.preprocess((FRAME,), (Region(100, 50, 32, 32),))
    items, _ = detector.postprocess(yolo_outputs((16, 16, 8, 8, 0, 1.0)), samples)
    assert items[0].findings[0].region == Region(112, 62, 8, 8)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"width": "100"}, "parameter width is '100', must be a multiple of 32"),
        ({"threshold": "high"}, r"parameter threshold is 'high', must be a number in 0\.\.1"),
    ],
)
def test_yolo_detector_malformed_parameter_is_named(
    parameters: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        handler("yolo_detector", FINDING_OUTPUTS, **parameters)


@pytest.mark.parametrize("name", ["yolo_detector", "image_embedder", "text_recognizer"])
def test_handlers_refuse_outputs_they_do_not_give(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="gives"):
        handler(name, (TensorSpec("logits", DataType.FP32, (-1,)),))


def test_image_classifier_reports_the_likeliest_classes() -> None:
    classifier = handler("image_classifier", FINDING_OUTPUTS[:2], top="2")
    crop = Region(10, 10, 50, 50)
    samples = classifier.preprocess((FRAME,), (crop,))
    assert classifier.collate(samples)[0].shape == (1, 3, 224, 224)
    logits = np.zeros((1, 1000), np.float32)
    logits[0, 656], logits[0, 675] = 20, 19
    items, tensors = classifier.postprocess((logits,), samples)
    assert [finding.label for finding in items[0].findings] == ["minivan", "moving van"]
    assert items[0].findings[0].region == crop
    assert sum(f.score for f in items[0].findings) == pytest.approx(1, abs=1e-4)
    assert [tensor.name for tensor in tensors] == ["labels", "scores"]


def test_image_embedder_gives_rows_of_length_one() -> None:
    embedder = handler("image_embedder", EMBEDDING)
    samples = embedder.preprocess((FRAME,), (Region(0, 0, 9, 9), Region(5, 5, 9, 9)))
    assert embedder.collate(samples)[0].shape == (2, 3, 224, 224)
    vectors = np.ones((2, 1280), np.float32)
    vectors[1] = 0
    items, (tensor,) = embedder.postprocess((vectors,), samples)
    assert items == ()
    assert np.linalg.norm(array_from(tensor), axis=1).tolist() == pytest.approx([1, 0])


def test_text_detector_grows_cores_to_lines() -> None:
    detector = handler("text_detector", width="224", height="128", margin="0")
    samples = detector.preprocess((image_tensor(encode(picture(224, 128))),), ())
    likely = np.zeros((1, 1, 128, 224), np.float32)
    likely[0, 0, 50:60, 40:140] = 0.9
    likely[0, 0, 5:7, 5:7] = 0.9  # a speck
    likely[0, 0, 90:100, 40:140] = 0.4  # not sure enough
    items, _ = detector.postprocess((likely,), samples)
    (finding,) = items[0].findings
    grow = 1.5 * (100 * 10) / (2 * (100 + 10))
    left, top = int(40 - grow), int(50 - grow)
    assert finding.label == "text"
    assert finding.score == pytest.approx(0.9)
    assert finding.region == Region(left, top, round(140 + grow) - left, round(60 + grow) - top)


def test_text_detector_finds_nothing_on_an_empty_map() -> None:
    detector = handler("text_detector")
    samples = detector.preprocess((FRAME,), ())
    items, tensors = detector.postprocess((np.zeros((1, 1, 640, 640), np.float32),), samples)
    assert items[0].findings == ()
    assert [tensor.shape for tensor in tensors] == [(1, 0), (1, 0), (1, 0, 4)]


def test_text_recognizer_pads_short_lines_and_squeezes_long_ones() -> None:
    recognizer = handler("text_recognizer", width="64")
    white = image_tensor(encode(picture(200, 100, (0, 0, 0))))
    samples = recognizer.preprocess((white,), (Region(0, 0, 40, 40), Region(0, 0, 200, 10)))
    (lines,) = recognizer.collate(samples)
    assert lines.shape == (2, 1, 32, 64)
    assert lines.min() == lines.max() == 1.0  # black was turned to white; the padding is white


def test_text_recognizer_reads_by_ctc_rules() -> None:
    path = [0, 1, 1, 0, 1, 2, 2, 3, 0]
    probabilities = np.zeros((len(path), len(ALPHABET) + 1), np.float32)
    probabilities[np.arange(len(path)), path] = 0.5
    assert read_greedily(probabilities) == ("aabc", 0.5)
    blank = np.zeros((4, len(ALPHABET) + 1), np.float32)
    blank[:, 0] = 1
    assert read_greedily(blank) == ("", 0.0)


def test_text_recognizer_finding_carries_the_crop() -> None:
    recognizer = handler("text_recognizer")
    crop = Region(1, 2, 30, 10)
    samples = recognizer.preprocess((FRAME,), (crop,))
    logits = np.zeros((1, 80, len(ALPHABET) + 1), np.float32)
    logits[0, :, 0] = 50
    logits[0, 3, 1 + ALPHABET.index("Q")] = 99
    items, tensors = recognizer.postprocess((logits,), samples)
    (finding,) = items[0].findings
    assert (finding.label, finding.region) == ("Q", crop)
    assert finding.score == pytest.approx(1.0)
    assert tensors[0].content == struct.pack("<I", 1) + b"Q"


def test_text_recognizer_inverts_light_text() -> None:
    pixels = np.full((4, 4, 3), 20, np.uint8)
    assert (dark_on_light(pixels) == 235).all()
    assert (dark_on_light(255 - pixels) == 235).all()
