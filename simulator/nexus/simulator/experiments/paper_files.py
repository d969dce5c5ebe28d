"""The representative scenarios that lie as files under examples/scenarios/paper."""

from collections.abc import Mapping
from pathlib import Path

from nexus.scheduler.scenario import Scenario
from nexus.simulator.experiments.drop_curve import drop_curve
from nexus.simulator.experiments.game import game
from nexus.simulator.experiments.mixed_apps import mixed_apps
from nexus.simulator.experiments.one_device import inception_copies, prefix_variants
from nexus.simulator.experiments.query_analysis import query_analysis
from nexus.simulator.experiments.rate_step import rate_step
from nexus.simulator.experiments.scenario_yaml import scenario_yaml
from nexus.simulator.experiments.single_session import single_session
from nexus.simulator.experiments.sixteen_sessions import sixteen_sessions_scenarios
from nexus.simulator.experiments.traffic import traffic

GENERATED = """\
Written by `python -m nexus.simulator.experiments examples/scenarios/paper`, which also knows the
variants; change it there. Where each profile is from: nexus.simulator.experiments.published."""

_V100 = "l(b) from SHEPHERD's Table 4 (V100, PyTorch); the paper's own profiles are not published."
_VGG = "VGG-S and VGG-16: Titan X profiles of uwsampl/nexus."
_QUERY = """\
Figure 17 at gamma = 1. Both lines are inferred from rates that the paper publishes:
nexus.simulator.experiments.inferred_profiles."""
_SINGLE = """\
One session on eight devices, offered the hard limit, N max{b / l(b) : l(b) <= SLO}: for searches.
ResNet-50 on a 1080Ti (Symphony)."""
_GAME = """\
Figure 10. ResNet-50 on a 1080Ti (Symphony), 10 ms of pre-processing (section 7.3); six LeNet
digits of a frame are one item."""
_TRAFFIC = """\
Figures 11 and 12. SSD: 47 ms for one frame (section 2), batching as R-CNN in SHEPHERD's Table 4;
GoogLeNet: 4.2 ms (section 2); VGG-Face: Titan X profile of uwsampl/nexus. Fan-outs are chosen."""


def paper_scenarios() -> Mapping[str, tuple[Scenario, str]]:
    """File name to the scenario and what is to be said about it."""
    sixteen = sixteen_sessions_scenarios()
    return {
        "game.yaml": (game(), _GAME),
        "traffic-non-rush.yaml": (traffic("non-rush"), _TRAFFIC),
        "traffic-rush.yaml": (traffic("rush"), _TRAFFIC),
        "mixed-apps.yaml": (
            mixed_apps(),
            f"Section 7.4: seven applications in the shapes of Table 4.\n{_V100}",
        ),
        "sixteen-mixed-slo.yaml": (
            sixteen["mixed SLO, inception-v3"],
            f"Figure 16: equal rates, SLOs from 50 to 200 ms.\n{_V100}",
        ),
        "sixteen-zipf.yaml": (
            sixteen["Zipf rates, inception-v3"],
            f"Figure 16: SLO 100 ms, rates by Zipf's law with exponent 0.9.\n{_V100}",
        ),
        "sixteen-architectures.yaml": (
            sixteen["eight architectures"],
            f"Figure 16: eight architectures, SLOs of 50 and 100 ms.\n{_V100}\n{_VGG}",
        ),
        "query-analysis.yaml": (query_analysis(1.0, 300.0), _QUERY),
        "prefix.yaml": (
            prefix_variants(10),
            "Figure 15: ten variants of one model. ResNet-50 on a 1080Ti (Symphony).",
        ),
        "multiplexing.yaml": (inception_copies(3), f"Figure 14: three models.\n{_V100}"),
        "rate-step.yaml": (
            rate_step(),
            f"Section 7.4: all rates rise by a fifth after 326 s; 30-s epochs.\n{_V100}",
        ),
        "single-session.yaml": (
            single_session("resnet50-1080ti", 8),
            _SINGLE,
        ),
        "early-drop.yaml": (
            drop_curve(1.0),
            "Figures 5 and 9 at alpha = 1 ms: one device, 25 / l(25) = 500 requests/s.",
        ),
    }


def paper_files() -> dict[str, str]:
    """File name to text."""
    return {
        name: scenario_yaml(scenario, f"{comment}\n{GENERATED}")
        for name, (scenario, comment) in paper_scenarios().items()
    }


def write_paper_files(folder: Path) -> None:
    """Write them all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in paper_files().items():
        (folder / name).write_text(text)
