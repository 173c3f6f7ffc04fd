"""Hosts that are containers themselves, on recorded looks."""

from __future__ import annotations

import pytest
from ansible_collections.hearth.llm.plugins.module_utils import _container
from ansible_collections.hearth.llm.plugins.module_utils.container_host import problems

# As an unprivileged LXC container of Proxmox answers that was given nesting and keyctl.
LXC = {
    "kind": "lxc",
    "nesting": True,
    "keyctl": True,
    "overlay": True,
    "controllers": ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"],
    "delegated": True,
    "net_admin": True,
}
MACHINE = {**dict.fromkeys(LXC), "kind": None}


def test_a_machine_and_a_container_that_was_given_everything_are_fine():
    assert problems("edge", MACHINE) == []
    assert problems("edge", LXC) == []


@pytest.mark.parametrize(
    ("lacking", "what", "remedy"),
    [
        ({"nesting": False}, "nesting", "--features nesting=1,keyctl=1"),
        ({"keyctl": False}, "keyctl", "--features nesting=1,keyctl=1"),
        ({"overlay": False}, "overlay", "modprobe overlay"),
        ({"net_admin": False}, "CAP_NET_ADMIN", "lxc.cap.drop"),
        ({"controllers": ["cpu", "pids"]}, "cgroups", "delegate the controllers"),
        ({"delegated": False}, "cgroups", "delegate the controllers"),
    ],
)
def test_what_a_container_was_not_given_is_named_with_the_remedy(lacking, what, remedy):
    [problem] = problems("edge", {**LXC, **lacking})
    assert problem.variable == f"container (lxc): {what}"
    assert remedy in problem.remedy


def test_control_groups_of_the_first_version_are_not_judged():
    assert problems("edge", {**LXC, "controllers": None, "delegated": False}) == []


def test_capabilities_are_read_from_the_kernels_own_words():
    status = (
        "Name:\tpython3\nCapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n"
    )
    assert _container.capabilities(status) == 0xA80425FB
    assert not _container.capabilities(status) >> 12 & 1, "Docker's default set has no CAP_NET_ADMIN"
