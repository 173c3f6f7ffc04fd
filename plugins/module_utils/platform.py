# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The platform's own variables: those that belong to no service.

Described once, here, as argument_spec options: the catalogue takes defaults and checks from it, and the README's table
is made of it.
"""

from __future__ import annotations

from typing import Any

ACCESS = ("local", "lan", "public")
ACME_CHALLENGES = ("http-01", "dns-01")
# Where a host keeps repositories: its own by default on a platform of one host, and those of hosts that come by sftp.
BACKUPS_DIR = "/var/backups/hearth"
PRIVATE_RANGES = (
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
)

OPTIONS: dict[str, dict[str, Any]] = {
    "stacks": {
        "type": "list",
        "elements": "str",
        "default": [],
        "description": "The services this host runs. One folder under roles/ (or under service_folders) each.",
    },
    "address": {
        "type": "str",
        "description": "The IP address at which other hosts reach this one's services. Default: ansible_host where "
        "that is an address, 127.0.0.1 for a single local host.",
    },
    "access": {
        "type": "str",
        "choices": list(ACCESS),
        "default": "local",
        "description": "How people reach the platform: local (*.localhost, this machine only), lan (private "
        "addresses only) or public (own domain).",
    },
    "domain": {
        "type": "str",
        "description": "The zone of all names. Default: localhost for local access, lan for lan; required for public.",
    },
    "acme_email": {
        "type": "str",
        "description": "Where the certificate authority (ACME) writes to when something is wrong with a certificate. "
        "Required for services with public access, unless the front door has a certificate of your own.",
    },
    "acme_challenge": {
        "type": "str",
        "choices": list(ACME_CHALLENGES),
        "default": "http-01",
        "description": "How the authority is shown that a name is yours: http-01 by an answer on port 80, which has to "
        "be reachable from the Internet, dns-01 by a record in the zone that a name server of the platform holds.",
    },
    "acme_server": {
        "type": "str",
        "default": "https://acme-v02.api.letsencrypt.org/directory",
        "description": "The authority's directory. For trying out: "
        "https://acme-staging-v02.api.letsencrypt.org/directory, which no browser believes.",
    },
    "acme_ca": {
        "type": "path",
        "description": "The certificate of an authority of your own, a PEM file on the controller. It vouches for the "
        "authority's address and for what it issues.",
    },
    "acme_certificate_hours": {
        "type": "int",
        "default": 2160,
        "description": "How long the authority's certificates are good. They are renewed 30 days before the end, with "
        "less than 90 days 1 day before it, with less than 7 days 6 hours, with less than a day 20 minutes.",
    },
    "packet_filter": {
        "type": "bool",
        "default": True,
        "description": "Keep the ports that Hearth publishes on a host to those who need them, by an nftables table of "
        "its own (docs/trust-zones.md). False where the host may not use nf_tables, or another firewall does it.",
    },
    "source_addresses": {
        "type": "list",
        "elements": "str",
        "default": [],
        "description": "Where this host's connections come from, as other hosts see them: addresses or ranges. "
        "Default: its address. Set it where the host is behind NAT or has more than one address.",
    },
    "private_ranges": {
        "type": "list",
        "elements": "str",
        "default": list(PRIVATE_RANGES),
        "description": "What counts as a private address: who is let in where access is lan, and by the guard admin.",
    },
    "image_mirror": {
        "type": "str",
        "default": "",
        "description": "A registry to take every image from; replaces the upstream registry's host in image names.",
    },
    "stacks_dir": {
        "type": "str",
        "default": "/opt/stacks",
        "description": "Where each service's compose.yaml and configuration are written.",
    },
    "data_dir": {
        "type": "str",
        "default": "/srv/docker",
        "description": "Where services keep their data.",
    },
    "state_dir": {
        "type": "str",
        "default": "/var/lib/hearth",
        "description": "Where Hearth keeps its journal and what it last committed on a host.",
    },
    "data_in": {
        "type": "str",
        "choices": ["directories", "volumes"],
        "default": "directories",
        "description": "Keep data in directories below data_dir or in Docker's named volumes.",
    },
    "backups_to": {
        "type": "list",
        "elements": "dict",
        "description": "Where this host's backups go (docs/backups.md); each names one of path, host and url. Default: "
        "another host of the inventory, a trusted one before others; on a platform of one host /var/backups/hearth.",
        "options": {
            "path": {
                "type": "str",
                "description": "A directory of this host, below which its repository lies.",
            },
            "host": {"type": "str", "description": "Another host of the inventory, over ssh."},
            "url": {
                "type": "str",
                "description": "A place as restic writes it, without the repository's own name: rest:https://…, "
                "s3:https://…/bucket, sftp:…, rclone:…",
            },
            "append_only": {
                "type": "bool",
                "description": "The place lets this host delete nothing: a trusted C(host), which thins it out itself, "
                "or a C(url) that is set up so.",
            },
        },
    },
    "service_folders": {
        "type": "list",
        "elements": "str",
        "default": [],
        "description": "Folders of roles with services of your own, relative to the inventory or absolute.",
    },
    "own_variables": {
        "type": "list",
        "elements": "str",
        "default": [],
        "description": "Inventory variables of your own that look like misspelt ones of Hearth and are not.",
    },
}

# Of a service that says `replicas` in its service.yml.
REPLICAS: dict[str, Any] = {
    "type": "int",
    "description": "Of a service that can run as several: how many, replaced one after the other by an update.",
}

# A variable's former name → what it is called now. A service's own stand in its service.yml.
RENAMED: dict[str, str] = {}

PER_SERVICE: dict[str, dict[str, Any]] = {
    "guard": {
        "type": "str",
        "choices": ["open", "key", "basic", "admin", "internal", "sso", "oidc"],
        "description": "Who may come in; replaces the guard of the service's first route.",
    },
    "access": {
        "type": "str",
        "choices": ["lan", "public"],
        "description": "How people reach this service, where that is not how they reach the platform: lan keeps it to "
        "private addresses, public opens it to everybody that its guard admits.",
    },
    "groups": {
        "type": "list",
        "elements": "str",
        "description": "The groups of the single sign-on whose members may see this service. Default: everybody who "
        "signed in; only administrators where the guard is admin.",
    },
    "resources": {
        "type": "dict",
        "description": "Per container: cpus, memory, reserve_cpus, reserve_memory; replaces single values.",
    },
}
