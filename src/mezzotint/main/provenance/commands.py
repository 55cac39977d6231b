"""`mezzotint provenance init | verify`."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mezzotint.main.options import Data, ExitCode, make_printable, report_errors

if TYPE_CHECKING:
    from mezzotint.provenance import ContentCredentials

app = typer.Typer(
    help="Content credentials: who signs pictures, and what a picture's file tells.", no_args_is_help=True
)
MAX_FILE_BYTES = 256 << 20


@app.command()
def init(data: Data = None) -> None:
    """Make a development authority in the data folder, and print the root that others add to their trust anchors."""
    from mezzotint.config import read_settings
    from mezzotint.main.data_folder import prepare_data_folder
    from mezzotint.main.provenance.signing import find_signer, make_own_authority, own_authority

    with report_errors():
        settings = read_settings(data=data)
        prepare_data_folder(settings.data)
        is_new = make_own_authority(settings)
        find_signer(settings)
        files = own_authority(settings)
        typer.echo(f"root   {files.root.resolve()}  ({'made' if is_new else 'was there'})")
        typer.echo(f"chain  {files.chain.resolve()}")
        typer.echo(f"key    {files.key.resolve()}")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A PNG, JPEG, WebP or AVIF.")],
    anchors: Annotated[
        Path | None, typer.Option(help="PEM file of authorities to trust, beside this installation's own root.")
    ] = None,
    watermark: Annotated[
        bool, typer.Option("--watermark", metavar="", help="Look for the invisible mark, too: some seconds.")
    ] = False,
    data: Data = None,
) -> None:
    """Say whether a file's content credentials hold, who signed, when and what. Exit code 0: trusted; 7: not."""
    from mezzotint.config import read_settings
    from mezzotint.domain.errors import ArgumentInvalid
    from mezzotint.main.provenance.signing import find_watermark_key, read_anchors
    from mezzotint.provenance import NoPicture, Validity, read_credentials

    with report_errors():
        settings = read_settings(data=data, provenance_anchors=anchors)
        try:
            with file.open("rb") as opened:
                content = opened.read(MAX_FILE_BYTES + 1)
            if len(content) > MAX_FILE_BYTES:
                raise ArgumentInvalid(f"{file} has more than {MAX_FILE_BYTES >> 20} MiB")
            found = read_credentials(content, read_anchors(settings))
        except NoPicture as error:
            raise ArgumentInvalid(f"{file}: {error}") from error
        except OSError as error:
            raise ArgumentInvalid(f"{file} cannot be read: {error.strerror}") from error
        typer.echo(f"{file}: {VERDICTS[found.validity]}")
        lines = _describe(found)
        if watermark or settings.watermark:
            lines.append(("mark", _describe_mark(content, find_watermark_key(settings))))
        for name, text in lines:
            typer.echo(f"  {name:<9}{make_printable(text)}")
        raise typer.Exit(ExitCode.DONE if found.validity is Validity.TRUSTED else ExitCode.UNPROVEN)


VERDICTS = {
    "absent": "no content credentials",
    "invalid": "INVALID: the file or its content credentials were changed after signing",
    "valid": "valid, but nobody trusted here vouches for the signer",
    "trusted": "valid and trusted",
}


def _describe(found: "ContentCredentials") -> list[tuple[str, str]]:
    model = found.model and f"{found.model}  {found.model_sha256 or ''}".rstrip()
    lines = {
        "problems": ", ".join(found.problems),
        "signer": ", ".join(filter(None, (found.signer, found.issuer))),
        "made at": found.made_at,
        "what": ", ".join(filter(None, (*found.actions, found.digital_source))),
        "software": found.software,
        "model": model,
        "job": found.job,
        "styles": ", ".join(f"{one.get('name')} {one.get('weight')}  {one.get('sha256')}" for one in found.styles),
        "source": found.source_sha256,
        "recipe": found.recipe and ", ".join(f"{name}: {value}" for name, value in found.recipe.items()),
    }
    return [(name, text) for name, text in lines.items() if text]


def _describe_mark(content: bytes, key: bytes) -> str:
    """Raises: ArgumentInvalid."""
    from PIL import Image

    from mezzotint.domain.errors import ArgumentInvalid
    from mezzotint.provenance.watermark import find_mark

    try:
        with Image.open(BytesIO(content), formats=("PNG", "JPEG", "WEBP", "AVIF")) as picture:
            found = find_mark(picture, key)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ArgumentInvalid(f"the picture cannot be decoded: {error}") from error
    if found is None:
        return "none of this server's"
    part = "" if found.part == 1 else f", a part of the picture ({found.part:.0%} of its shorter side)"
    return f"job_{found.payload:08x}...{part}{', mirrored' if found.is_mirrored else ''}"
