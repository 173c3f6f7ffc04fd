"""Run by a Python that has the package vllm: reads command lines of `vllm serve` as JSON; prints what is wrong.

The parser is the package's own, with everything that it checks before it looks for a card. A card it needs only to know
which kind of one is the default.
"""

import contextlib
import io
import json
import sys

from vllm import envs, platforms
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.reasoning import ReasoningParserManager
from vllm.tool_parsers import ToolParserManager
from vllm.utils.argparse_utils import FlexibleArgumentParser

platforms.current_platform.device_type = "cuda"
parser = FlexibleArgumentParser()
serve = ServeSubcommand()
serve.subparser_init(parser.add_subparsers(dest="subparser"))


def wrong(arguments: list[str], environment: dict[str, str]) -> str:
    """What is wrong with a command line and its environment; empty for nothing."""
    unknown = {name for name in environment if name.startswith("VLLM_")} - set(envs.environment_variables)
    if unknown:
        return f"unknown variables: {sorted(unknown)}"
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = parser.parse_args(["serve", *arguments])
            serve.validate(parsed)
        # The server looks these up when it starts.
        if parsed.tool_call_parser:
            ToolParserManager.get_tool_parser(parsed.tool_call_parser)
        if parsed.reasoning_parser:
            ReasoningParserManager.get_reasoning_parser(parsed.reasoning_parser)
    except SystemExit:
        return said.getvalue().strip().splitlines()[-1]
    except (KeyError, TypeError, ValueError) as error:
        return repr(error)
    return ""


print(json.dumps([wrong(*json.loads(line)) for line in sys.stdin]))
