"""A Flower app as a folder in which there is no code: all of it is the installed package's, at the server and on each
device. So Flower bundles and sends a name and a configuration, and needs no checkout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["write_app"]

_PROJECT: Final = """\
[project]
name = "{name}"
version = "0.1.0"
description = "All code is the installed package's."
license = {{ file = "LICENSE" }}

[tool.flwr.app]
publisher = "edgeperso"

[tool.flwr.app.components]
serverapp = "{server}"
clientapp = "{client}"

[tool.flwr.app.config]
"""


def write_app(
    folder: Path, name: str, *, server: str, client: str, config: Mapping[str, str | int | float | bool]
) -> Path:
    """Write the app into ``folder``, over what is there, and return that.

    Args:
        name: lower case, digits and dashes.
        server, client: ``module:object`` of the two apps.
        config: all keys that a run may set, with what they are else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in config.items()]
    head = _PROJECT.format(name=name, server=server, client=client)
    (folder / "pyproject.toml").write_text(head + "".join(lines))
    (folder / "LICENSE").write_text("Apache-2.0\n")
    return folder
