"""What must be true of whatever the chart makes is true of every example, and each rule can fail."""

from copy import deepcopy

import pytest

from tests.helm import policies_around, policies_pods
from tests.helm.chart import EXAMPLES, Helm, Resource, example
from tests.helm.policies import Policy

POLICIES = policies_pods.POLICIES + policies_around.POLICIES
FULLEST = "mig-keda-strimzi"
"""Has something of everything that a rule looks at."""


@pytest.fixture(scope="module")
def fullest(helm: Helm) -> list[Resource]:
    return helm.render(example(FULLEST))


def called(policy: Policy) -> str:
    return policy.name


@pytest.mark.parametrize("name", [file.stem for file in EXAMPLES])
def test_examples_keep_every_policy(helm: Helm, name: str) -> None:
    made = helm.render(example(name))
    assert {policy.name: list(policy.wrongs(made)) for policy in POLICIES} == {policy.name: [] for policy in POLICIES}


@pytest.mark.parametrize("policy", POLICIES, ids=called)
def test_every_policy_can_be_broken(fullest: list[Resource], policy: Policy) -> None:
    spoilt = deepcopy(fullest)
    policy.defect(spoilt)
    assert list(policy.wrongs(spoilt))
