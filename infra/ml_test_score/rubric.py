"""The 28 items of the ML Test Score, in our words, and what tests do not show about them.

Source: E. Breck, S. Cai, E. Nielsen, M. Salib and D. Sculley, "The ML Test Score: A Rubric for ML Production Readiness
and Technical Debt Reduction", IEEE International Conference on Big Data, 2017.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

SECTIONS: Final = {
    "data": "Features and data",
    "model": "Model development",
    "infra": "Infrastructure",
    "monitor": "Monitoring",
}
"""The four sections by the first part of their items' names."""


class DocumentedResult(Struct, frozen=True):
    """A result that a person obtained with `command` and that is written down on `page`, a path in the repository."""

    page: str
    command: str
    result: str


class RubricItem(Struct, frozen=True, kw_only=True):
    """One item. `remark`: what is missing, for an item without an automated test, or a limit of the tests.

    `documented` is worth half a point if no test has the mark of the item.
    """

    name: str
    demand: str
    remark: str = ""
    documented: DocumentedResult | None = None

    @property
    def section(self) -> str:
        """The section, a key of `SECTIONS`."""
        return self.name.partition("-")[0]


RUBRIC: Final = (
    RubricItem(
        name="data-1",
        demand="What is expected of the input is written as a schema and checked.",
        remark="The data contract learns its ranges from the days before a champion; no person reviews them.",
    ),
    RubricItem(
        name="data-2",
        demand="Every feature is of use.",
        documented=DocumentedResult(
            "docs/evaluate.md",
            "cardwatch evaluate --data world/transactions.parquet --mapping examples/mappings/simulated.yaml --folds 3 "
            "--families",
            "each family of features left out in turn, on three held-out seeds",
        ),
        remark="Measured for families and not for single features, and of most families the effect cannot be told from "
        "zero. No test fails when a feature adds nothing.",
    ),
    RubricItem(
        name="data-3",
        demand="No feature costs more than it is worth.",
        remark="docs/benchmarks.md has the time of all features together, and a test bounds a card's state. "
        "What a single feature costs was never measured; decision 16 compares the kernel once with a former version.",
    ),
    RubricItem(
        name="data-4",
        demand="Features keep to the rules that hold for all of them, such as which data they may use.",
        remark="Our rules are that a feature uses only what was known before its transaction, and that every feature "
        "has a reason code with a text and conditions. There is no list of forbidden inputs beyond card numbers.",
    ),
    RubricItem(
        name="data-5",
        demand="Private data are controlled along the whole pipeline.",
        remark="Covers card numbers, and requests in logs. Deleting the data of one person is not covered.",
    ),
    RubricItem(
        name="data-6",
        demand="A new feature reaches production quickly.",
        remark="CONTRIBUTING.md lists the steps, but nobody has measured how long they take.",
    ),
    RubricItem(name="data-7", demand="The code of every input feature is tested."),
    RubricItem(
        name="model-1",
        demand="Every model specification is reviewed and checked in.",
        remark="A version names the code that trained it, and .github/CODEOWNERS asks for reviews, but the repository "
        "does not record that one took place.",
    ),
    RubricItem(
        name="model-2",
        demand="Offline metrics go together with what the model achieves in use.",
        remark="In one simulated world, with models weakened on purpose. There is no experiment in a real bank.",
    ),
    RubricItem(
        name="model-3",
        demand="All hyperparameters are tuned.",
        documented=DocumentedResult(
            "docs/training.md",
            "python -m benchmarks.training --output FILE",
            "searched settings against the default ones in four worlds: no difference that can be told from zero",
        ),
        remark="The search is tested, but off by default, so a usual retraining tunes nothing. It has four settings.",
    ),
    RubricItem(
        name="model-4",
        demand="It is known what it costs to keep an old model.",
        remark="Two ages in one simulated world with one change, not a curve over many ages.",
    ),
    RubricItem(name="model-5", demand="A simpler model is not as good."),
    RubricItem(name="model-6", demand="The model is good enough on every important slice of the data."),
    RubricItem(
        name="model-7",
        demand="The model treats groups of people alike.",
        remark="The records have no attribute of people, such as age or sex, and the simulated ones have nothing that "
        "could stand for it, so nothing can be measured.",
    ),
    RubricItem(name="infra-1", demand="Training is reproducible."),
    RubricItem(name="infra-2", demand="The code that specifies a model has unit tests."),
    RubricItem(name="infra-3", demand="The whole pipeline has an integration test."),
    RubricItem(name="infra-4", demand="The quality of a model is checked before it is served."),
    RubricItem(name="infra-5", demand="The computation for a single example can be followed step by step."),
    RubricItem(
        name="infra-6",
        demand="A new model proves itself on a part of the traffic first.",
        remark="The scoring service refuses a model that cannot be loaded, and scores a challenger in shadow, but a "
        "promoted model gets all traffic at once. On AWS Terraform plans a canary, which never ran there.",
    ),
    RubricItem(
        name="infra-7",
        demand="A served model can be rolled back quickly and safely.",
        remark="The alias of the champion moves back under load; no command and no page of the runbook leads to it.",
    ),
    RubricItem(
        name="monitor-1",
        demand="Somebody is told when something changes that the system depends on.",
        remark="Dependabot proposes updates of libraries and images, which no test checks. Sources of data announce "
        "nothing; a change of them is noticed only in the data (monitor-2).",
    ),
    RubricItem(name="monitor-2", demand="What must hold for input data is watched in training and in serving."),
    RubricItem(name="monitor-3", demand="Training and serving compute the same feature values."),
    RubricItem(
        name="monitor-4",
        demand="Models do not become too old.",
        remark="The alert counts the days since a loss was found, not the age of a model that loses nothing.",
    ),
    RubricItem(
        name="monitor-5",
        demand="Numbers stay finite.",
        remark="Files of models and rows are checked. No metric counts such numbers in operation.",
    ),
    RubricItem(
        name="monitor-6",
        demand="Training time, latency, throughput and memory do not get worse.",
        documented=DocumentedResult(
            "docs/benchmarks.md", "make bench", "time, throughput and memory, each beside its goal"
        ),
        remark="Late decisions and a growing lag fire alerts. Memory is measured by hand only, training time once, in "
        "docs/training.md, and no run is compared with the one before.",
    ),
    RubricItem(name="monitor-7", demand="The quality of predictions on served data does not get worse."),
)
"""All items in the order of the paper."""
