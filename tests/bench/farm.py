"""A platform of many small services on two lab hosts, written for Hearth, for Ansible as usual and for pyinfra.

All three render the same templates (farm/) to the same files on the hosts, so each finds nothing to do after another.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.hearth.llm.plugins.plugin_utils.render import File, config_hash
from jinja2 import Template

from tests.lab import paths, ssh, table

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).resolve().parent / "farm"
HOSTS = {"trusted": "bench-1", "compute": "bench-2"}
PASSWORD = "bench"
_PROOF = ("check.yml", "parts/prove.yml")
PYINFRA = ROOT / ".cache" / "bench" / "pyinfra"


class Farm:
    """`count` services, the first half on the trusted host, the second on the compute host; files below `folder`."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder / f"farm-{count}"
        half = count // 2
        self.stacks = {
            "bench-1": [f"left{number:02}" for number in range(half)],
            "bench-2": [f"right{number:02}" for number in range(half)],
        }
        self.image, self.tag, self.mirror = _image()
        self._write_inventory()
        for host, names in self.stacks.items():
            for name in names:
                self._write_role(name)
                self._write_conventional(host, name)
        self._write_conventional_playbook()
        self._write_pyinfra()

    def hearth(self, *arguments: str) -> list[str]:
        return self.play("deploy-stacks", *arguments)

    def play(self, name: str, *arguments: str) -> list[str]:
        return self._play(ROOT / "playbooks" / f"{name}.yml", *arguments)

    def proof(self) -> list[str]:
        return self._play(self.folder / "proof.yml")

    def conventional(self) -> list[str]:
        return self._play(self.folder / "conventional" / "site.yml")

    def empty(self) -> list[str]:
        return self._play(self.folder / "empty.yml")

    def pyinfra(self) -> list[str]:
        return [
            str(PYINFRA / "bin" / "pyinfra"),
            "-y",
            str(self.folder / "inventory.py"),
            str(self.folder / "deploy.py"),
        ]

    @property
    def has_pyinfra(self) -> bool:
        """Whether it is there, or could be installed now; in an environment of its own, beside Ansible's."""
        program = PYINFRA / "bin" / "pyinfra"
        if not program.exists():
            requirements = SOURCES.parent / "requirements.txt"
            pip = [PYINFRA / "bin" / "pip", "install", "--quiet", "-r", requirements]
            for command in ([sys.executable, "-m", "venv", PYINFRA], pip):
                if subprocess.run(command, check=False).returncode != 0:
                    return False
        return program.exists()

    def bare(self, host: str) -> list[str]:
        """What a person types: ssh to the host, and there `docker compose up -d --wait` for one stack after another."""
        loop = (
            f"for stack in {' '.join(self.stacks[host])}; do"
            " docker compose --project-directory /opt/stacks/$stack up -d --wait || exit 1; done"
        )
        return on(host, loop)

    def down(self) -> None:
        """Take the stacks off the hosts, with all that Hearth knows of them."""
        for host, names in self.stacks.items():
            containers = " ".join(names)
            state = " ".join(
                f"/opt/stacks/{name} /srv/docker/{name}"
                f" /var/lib/hearth/stacks/{name}.json /var/lib/hearth/transactions/{name}"
                for name in names
            )
            command = on(host, f"docker rm -f {containers}; rm -rf {state}")
            # A host that cannot be reached must not hide why the run ended; what was left behind shows in the next.
            subprocess.run(command, check=False, capture_output=True)

    def _play(self, playbook: Path, *arguments: str) -> list[str]:
        program = ROOT / ".venv" / "bin" / "ansible-playbook"
        return [
            *(str(program), "-i", str(self.folder / "inventory.yml")),
            *("--vault-password-file", str(self.folder / "password"), str(playbook), *arguments),
        ]

    def _write_inventory(self) -> None:
        vault = VaultLib([("default", VaultSecret(PASSWORD.encode()))])
        words = "".join(
            f"    vault_{name}_word: !vault |\n"
            + "".join(
                f"      {line}\n"
                for line in vault.encrypt(f"the secret word of {name}").decode().splitlines()
            )
            for names in self.stacks.values()
            for name in names
        )
        plain = {
            "access": "lan",
            "image_mirror": self.mirror,
            "service_folders": [str(self.folder / "services")],
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(ssh.key()),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={paths.state(ssh.KNOWN_HOSTS)}",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        rest = yaml.safe_dump(plain).replace("\n", "\n    ").rstrip()
        groups = {
            group: {"hosts": {host: {"ansible_host": _address(host), "stacks": self.stacks[host]}}}
            for group, host in HOSTS.items()
        }
        _write(self.folder / "inventory.yml", f"all:\n  vars:\n    {rest}\n{words}{yaml.safe_dump(groups)}")
        _write(self.folder / "password", PASSWORD)
        imported = [{"ansible.builtin.import_playbook": str(ROOT / "playbooks" / name)} for name in _PROOF]
        _write(self.folder / "proof.yml", yaml.safe_dump(imported))
        _write(self.folder / "empty.yml", "- name: Nothing\n  hosts: all\n  gather_facts: false\n")

    def _write_role(self, name: str) -> None:
        role = self.folder / "services" / name
        self._copy_templates(role)
        self._fill("service.yml", role / "service.yml", name)
        self._fill("argument_specs.yml", role / "meta" / "argument_specs.yml", name)
        self._fill("tasks.yml", role / "tasks" / "main.yml", name)

    def _write_conventional(self, host: str, name: str) -> None:
        role = self.folder / "conventional" / "roles" / name
        self._copy_templates(role)
        self._fill("conventional_tasks.yml", role / "tasks" / "main.yml", name)
        word = f"{{{{ vault_{name}_word }}}}"
        variables = {"service": self._service(host, name), "secrets": {f"{name}_word": word}}
        _write(role / "vars" / "main.yml", yaml.safe_dump(variables))

    def _write_conventional_playbook(self) -> None:
        plays = [
            {
                "name": f"Deploy {group}",
                "hosts": group,
                "gather_facts": False,
                "roles": self.stacks[HOSTS[group]],
            }
            for group in ("compute", "trusted")
        ]
        _write(self.folder / "conventional" / "site.yml", yaml.safe_dump(plays, sort_keys=False))

    def _write_pyinfra(self) -> None:
        connection = {
            "ssh_user": "root",
            "ssh_key": str(ssh.key()),
            "ssh_known_hosts_file": str(paths.state(ssh.KNOWN_HOSTS)),
        }
        hosts = [
            (_address(host), {**connection, "services": [self._service(host, name) for name in names]})
            for host, names in self.stacks.items()
        ]
        _write(self.folder / "inventory.py", f"hosts = {hosts!r}\n")
        shutil.copy(SOURCES / "pyinfra_deploy.py", self.folder / "deploy.py")
        for template in SOURCES.glob("*.j2"):
            shutil.copy(template, self.folder / template.name)

    def _service(self, host: str, name: str) -> dict[str, object]:
        """The part of Hearth's `service` that the templates use, for the two that do not resolve it."""
        described = {
            "name": name,
            "host": host,
            "images": {name: f"{self.image_here}:{self.tag}"},
            "variables": {f"{name}_greeting": "hello"},
            "data_dir": f"/srv/docker/{name}",
        }
        template = Template((SOURCES / "app.conf.j2").read_text(), keep_trailing_newline=True)
        config = File("config/app.conf", template.render(service=described).encode(), "0644")
        return {**described, "config_hash": config_hash([config], ())}

    @property
    def image_here(self) -> str:
        return f"{self.mirror}/{self.image.split('/', 1)[1]}" if self.mirror else self.image

    def _copy_templates(self, role: Path) -> None:
        for source, target in (
            ("compose.yaml.j2", "compose.yaml.j2"),
            ("env.app.j2", "env.app.j2"),
            ("app.conf.j2", "config/app.conf.j2"),
        ):
            (role / "templates" / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCES / source, role / "templates" / target)

    def _fill(self, source: str, target: Path, name: str) -> None:
        text = (SOURCES / source).read_text()
        for word, value in (("NAME", name), ("IMAGE", self.image), ("VERSION", self.tag)):
            text = text.replace(word, value)
        _write(target, text)


def on(host: str, command: str) -> list[str]:
    """The ssh command line for something on a lab host."""
    return ssh.command(table.hosts()[host], command)


def _address(host: str) -> str:
    return table.hosts()[host].address


def _image() -> tuple[str, str, str]:
    """The smallest image that the lab has: its upstream name, its tag here, and the mirror, empty without one."""
    row = table.images()["socket-proxy"]
    settings = yaml.safe_load((ROOT / ".lab" / "images.yml").read_text()) or {}
    return str(row.upstream), row.tag, settings.get("image_mirror", "")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
