"""Run in LiteLLM's image: its own code reads the configuration that the role wrote. Prints JSON.

Arguments: config.yaml, and the names of environment variables that LiteLLM is given.
"""

import asyncio
import json
import sys
from pathlib import Path

import litellm_enterprise
import litellm_proxy_extras
import yaml
from litellm.proxy import proxy_server
from litellm.proxy._types import ConfigGeneralSettings
from litellm_enterprise.proxy import proxy_server as enterprise

PACKAGES = [
    Path(module.__file__).parent for module in (proxy_server, litellm_enterprise, litellm_proxy_extras)
]
SOURCE = "\n".join(path.read_text() for package in PACKAGES for path in package.rglob("*.py"))

file, *environment = sys.argv[1:]
general = yaml.safe_load(Path(file).read_text())["general_settings"]
ConfigGeneralSettings(**general)
# Not all settings are fields of that type.
names = [name for name in general if name not in ConfigGeneralSettings.model_fields] + environment
router, _models, loaded = asyncio.run(
    proxy_server.ProxyConfig().load_config(router=None, config_file_path=file)
)
print(
    json.dumps(
        {
            "unknown": [name for name in names if f'"{name}"' not in SOURCE],
            "mode": (enterprise.custom_auth_settings or {}).get("mode"),
            "models": router.get_model_names(),
            "redis": loaded.get("coordination_redis", {}).get("host"),
            "spend": loaded.get("maximum_spend_logs_retention_period"),
        }
    )
)
