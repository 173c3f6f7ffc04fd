"""Why a module failed."""

from ansible_collections.hearth.llm.plugins.plugin_utils.on_host import reason


class Broken:
    class event:
        msg = "takes 4 arguments but 6 were given"


def test_what_the_module_said_comes_first_then_what_broke_it_off():
    assert reason({"msg": "no disk", "exception": Broken}) == "no disk"
    assert reason({"exception": Broken}) == "takes 4 arguments but 6 were given"
    assert reason({"unreachable": True}) == "the host gave no reason"
