"""`python -m services.scoring.supervisor serve ...`: the `bentoml` command with `services.scoring.server_patches`."""

from __future__ import annotations

from adapters.runtime.settings import read_settings
from services.scoring.quick_start import without_collections
from services.scoring.server_patches import patch_supervisor


def main() -> None:
    """Run `bentoml`."""
    with without_collections():
        patch_supervisor(read_settings())
        from bentoml_cli.cli import cli  # noqa: PLC0415 (it copies what is patched when it is imported)

    cli(prog_name="bentoml")


if __name__ == "__main__":
    main()
