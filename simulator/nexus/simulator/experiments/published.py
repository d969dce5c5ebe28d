"""Published latency profiles, and the ones derived from them that the paper's experiments need.

The paper publishes few profiles of its GPUs. What it leaves out is taken from tables published
elsewhere, so ratios between policies are to be compared with the paper's, never absolute rates.
"""

from collections.abc import Sequence
from dataclasses import replace

from nexus.core.names import DeviceType, ModelName
from nexus.core.profile import Profile, linear_profile
from nexus.core.units import BYTES_PER_MB, US_PER_MS, us_from_ms
from nexus.scheduler.prefix_groups import PrefixMember
from nexus.scheduler.scenario import ScenarioModel

V100 = "v100"
BATCH_MAX = 64

V100_MS = {
    "resnet18": (0.22, 3.74),
    "resnet34": (0.38, 5.78),
    "resnet50": (0.75, 7.96),
    "resnet101": (1.25, 13.57),
    "resnet152": (1.77, 18.98),
    "resnest50": (1.18, 15.39),
    "resnest101": (1.91, 29.21),
    "densenet121": (0.69, 19.96),
    "densenet161": (1.74, 23.10),
    "googlenet": (0.25, 8.41),
    "inception-v3": (0.96, 11.77),
    "r-cnn": (2.59, 14.90),
}
"""SHEPHERD (NSDI'23), Table 4: (alpha, beta) in ms of l(b) = alpha b + beta, V100 and PyTorch."""

RESNET50_1080TI_MS = (1.053, 5.072)
"""Symphony's running example: ResNet-50 on a 1080Ti; l(1) is the 6.2 ms of the paper's Table 1."""

SSD_BATCH_1_MS = 47.0
GOOGLENET_BATCH_1_MS = 4.2
"""The paper, section 2: the traffic application's models on a 1080Ti, one input at a time."""
INCEPTION_BATCH_1_MS = 7.0
"""The paper, Table 1."""

VGG_16_TITAN_X_MS = (3.19, 4.9)
VGG_FACE_TITAN_X_MS = (3.19, 4.9)
VGG_S_TITAN_X_MS = (0.80, 2.3)
"""uwsampl/nexus, profiles on a Titan X: the lines through their batches 1 to 32."""

LENET_SIX_MS = (0.06, 0.5)
"""Six digits of one frame as one item. Table 1 says < 0.1 ms a digit; the rest is chosen."""

CROP_PREPROCESS_MS = 1.07
"""A Nexus fork's profile of ResNet-50 on a K80: decoding and resizing one input."""
VGG_FACE_PREPROCESS_MS = 3.3
FRAME_PREPROCESS_MS = 9.48
"""uwsampl/nexus, profiles of VGG-Face and of YOLO9000 (480 x 480), on a Titan X's host."""
GAME_PREPROCESS_MS = 10.0
"""The paper, section 7.3: preparing a frame of the game application."""


def linear_model(
    name: ModelName,
    alpha_beta_ms: tuple[float, float],
    *,
    device: DeviceType = V100,
    memory_mb: float = 0.0,
    preprocess_ms: float = 0.0,
    batch_max: int = BATCH_MAX,
) -> ScenarioModel:
    """A model with l(b) = alpha b + beta on one device type."""
    alpha_ms, beta_ms = alpha_beta_ms
    profile = linear_profile(
        name,
        device,
        alpha_ms * US_PER_MS,
        beta_ms * US_PER_MS,
        batch_max,
        memory_bytes=round(memory_mb * BYTES_PER_MB),
    )
    return model_of(profile, preprocess_ms=preprocess_ms)


def sharing_prefix(
    models: Sequence[ScenarioModel], group: ModelName, *, suffix_ms: float, suffix_mb: float = 0.0
) -> tuple[ScenarioModel, ...]:
    """The models as members of a prefix group; of its own each has ``suffix_ms`` and ``suffix_mb``.

    A batch takes one member's layers, and a suffix for each other member in it.
    """
    member = PrefixMember(group, us_from_ms(suffix_ms), round(suffix_mb * BYTES_PER_MB))
    return tuple(replace(model, prefix=member) for model in models)


def scaled_to(batch_1_ms: float, alpha_beta_ms: tuple[float, float]) -> tuple[float, float]:
    """A published profile scaled so that a batch of one takes ``batch_1_ms``."""
    factor = batch_1_ms / sum(alpha_beta_ms)
    return round(alpha_beta_ms[0] * factor, 3), round(alpha_beta_ms[1] * factor, 3)


def model_of(profile: Profile, *, preprocess_ms: float = 0.0) -> ScenarioModel:
    """A model with this one profile."""
    if preprocess_ms:
        profile = Profile(
            model=profile.model,
            device=profile.device,
            latencies_us=profile.latencies_us,
            memory_bytes=profile.memory_bytes,
            preprocess_us=us_from_ms(preprocess_ms),
        )
    return ScenarioModel(
        name=profile.model, profiles={profile.device: profile}, max_batch=profile.max_batch
    )


def zipf(count: int, exponent: float) -> Sequence[float]:
    """Shares of ``count`` by Zipf's law, largest first; they sum to 1."""
    weights = [rank**-exponent for rank in range(1, count + 1)]
    return [weight / sum(weights) for weight in weights]


SSD_MS = scaled_to(SSD_BATCH_1_MS, V100_MS["r-cnn"])
"""The paper's SSD, batching as the detector whose profile is published."""
GOOGLENET_MS = scaled_to(GOOGLENET_BATCH_1_MS, V100_MS["googlenet"])
