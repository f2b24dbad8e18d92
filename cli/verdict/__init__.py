"""`cardwatch verdict`: what a model version was judged by, and whether it holds."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import click

from adapters.runtime.settings import read_settings

BUNDLE = click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))


@click.group()
def verdict() -> None:
    """Fetch, show and check the verdict on a model version.

    A verdict comes with a bundle of everything that it rests on: judged rows, policy, inputs. docs/verdict.md explains
    them.
    """


@verdict.command()
@click.argument("version")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def fetch(version: str, folder: Path) -> None:
    """Write the bundle of a model VERSION, a number or an alias, from MLflow to a new or empty FOLDER."""
    from adapters.model_registry.mlflow_registry import MlflowRegistry  # noqa: PLC0415 (`--help` need not wait for it)
    from adapters.runtime.files import atomic_folder  # noqa: PLC0415
    from cardwatch.errors import Misconfigured  # noqa: PLC0415
    from cardwatch.promotion.verdict import VERDICT_FOLDER  # noqa: PLC0415

    with closing(MlflowRegistry(read_settings().mlflow_url)) as registry:
        found = registry.version(version) or registry.alias(version)
        if found is None:
            raise Misconfigured(f"the registry has no version or alias {version}")
        files = registry.run_files(found, VERDICT_FOLDER)
    if not files:
        raise Misconfigured(f"version {found.version} has no bundle: it was judged before bundles were stored")
    with atomic_folder(folder) as temporary:
        for name, content in files.items():
            (temporary / name).write_bytes(content)
    click.echo(f"The verdict on version {found.version} is in {folder}. Check it, with the digest of the registry:")
    click.echo(f"cardwatch verdict check {folder} --digest {found.tags.get('verdict_digest', '')}")


@verdict.command()
@BUNDLE
def show(folder: Path) -> None:
    """Print the verdict of the bundle in FOLDER: reasons, slices and baselines. Nothing is checked."""
    from adapters.model_registry.verdict_bundle import VerdictBundle, read_bundle_files  # noqa: PLC0415 (as above)
    from cli.verdict.text import describe  # noqa: PLC0415

    click.echo(describe(VerdictBundle.from_files(read_bundle_files(folder))))


@verdict.command()
@BUNDLE
@click.option("--digest", help="The digest that the registry recorded, the tag verdict_digest of the version.")
def check(folder: Path, digest: str | None) -> None:
    """Compute the verdict of the bundle in FOLDER again, offline.

    Prints what differs, and then exits with status 1. Without --digest, a bundle whose files were all changed to fit
    each other is not found.
    """
    from adapters.model_registry.verdict_bundle import check_bundle, read_bundle_files  # noqa: PLC0415 (as above)
    from cardwatch.registry import digest_of  # noqa: PLC0415

    files = read_bundle_files(folder)
    faults = check_bundle(files, digest)
    for fault in faults:
        click.echo(fault)
    if faults:
        sys.exit(1)
    click.echo(f"The verdict follows from its rows and its policy. Digest of the bundle: {digest_of(files)}")
