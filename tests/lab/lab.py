"""The lab's command line."""

import argparse
import contextlib
import fcntl
import subprocess
import sys
from collections.abc import Iterator

from . import build, engine, hosts, ssh, table, transfer
from .output import LabError, say
from .paths import state
from .table import Host

HOST_IMAGE = "host"


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; a LabError is printed and becomes exit status 1."""
    options = _parser().parse_args(arguments)
    try:
        with alone() if options.changes else contextlib.nullcontext():
            return options.run(options) or 0
    except LabError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One lab command at a time changes something: two would build the same image and fight over a host."""
    with state("lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another lab command to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab", description="Hosts with real software on one machine."
    )
    parser.set_defaults(changes=True)
    commands = parser.add_subparsers(required=True, metavar="SUBCOMMAND")

    command = commands.add_parser(
        "engine", help="make sure that a Docker engine and `docker compose` work here"
    )
    command.set_defaults(run=_engine)

    command = commands.add_parser("images", help="build the images where registries cannot be reached")
    command.add_argument(
        "names", nargs="*", metavar="IMAGE", help="rows of images/images.yml; default: all services"
    )
    command.set_defaults(run=_images)

    command = commands.add_parser("up", help="start hosts, with their images loaded")
    command.add_argument("names", nargs="*", metavar="HOST", help="rows of hosts.yml; default: all")
    command.set_defaults(run=_up)

    command = commands.add_parser(
        "down", help="remove hosts, or without names every trace of the lab but its images"
    )
    command.add_argument("names", nargs="*", metavar="HOST")
    command.add_argument("--keep-images", action="store_true", help="keep the images inside the named hosts")
    command.add_argument(
        "--all", action="store_true", help="also remove the built images and stop the lab's engine"
    )
    command.set_defaults(run=_down)

    command = commands.add_parser("reboot", help="boot a host again")
    command.add_argument("name", metavar="HOST")
    command.set_defaults(run=_reboot)

    command = commands.add_parser(
        "load", help="copy images into a host, unless it has them; the tests' own are built first"
    )
    command.add_argument("name", metavar="HOST")
    command.add_argument("images", nargs="+", metavar="IMAGE", help="rows of images/images.yml")
    command.set_defaults(run=_load)

    command = commands.add_parser("status", help="say what is up")
    command.set_defaults(run=_status, changes=False)

    command = commands.add_parser("ssh", help="a shell on a host, or a command there")
    command.add_argument("name", metavar="HOST")
    command.add_argument("remote", nargs=argparse.REMAINDER, metavar="COMMAND")
    command.set_defaults(run=_ssh, changes=False)
    return parser


def _host(name: str) -> Host:
    return table.select(table.hosts(), [name], "host")[name]


def _engine(options: argparse.Namespace) -> None:
    engine.ensure()


def _images(options: argparse.Namespace) -> None:
    engine.ensure()
    build.ensure(options.names)


def _up(options: argparse.Namespace) -> None:
    chosen = table.select(table.hosts(), options.names, "host").values()
    engine.ensure()
    build.build([HOST_IMAGE])
    images = list(dict.fromkeys(name for host in chosen for name in host.images))
    built = build.ensure(images) if images else False
    hosts.ensure_network()
    for host in chosen:
        hosts.up(host)
        if built:
            transfer.load(host, transfer.references(host.images))


def _down(options: argparse.Namespace) -> None:
    if options.all and options.names:
        raise LabError("--all takes no host names: it removes everything")
    if options.keep_images and not options.names:
        raise LabError("--keep-images needs the names of the hosts")
    if not engine.answers():
        raise LabError("no Docker engine answers, so nothing of the lab can be running")
    if options.names:
        chosen = table.select(table.hosts(), options.names, "host").values()
        hosts.down(list(chosen), keep_images=options.keep_images)
        return
    hosts.remove_everything(images=options.all)
    if options.all:
        engine.stop()


def _reboot(options: argparse.Namespace) -> None:
    hosts.reboot(_host(options.name))


def _load(options: argparse.Namespace) -> None:
    chosen = table.select(table.images(), options.images, "image").values()
    build.build([image.name for image in chosen if not image.upstream])
    transfer.load(_host(options.name), transfer.references(options.images))


def _status(options: argparse.Namespace) -> None:
    if not engine.answers():
        say("no Docker engine answers")
        return
    for host in table.hosts().values():
        say(hosts.status(host))


def _ssh(options: argparse.Namespace) -> int:
    return subprocess.run(
        ssh.command(_host(options.name), *options.remote), stdin=sys.stdin, check=False
    ).returncode
