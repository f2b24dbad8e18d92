"""The kind of a file by its content, never by its name: text, compressed text, Parquet, or something that is refused.

gzip, bzip2, zstd, lz4, xz and zip archives with one file are read through. Every other container is named, with what
to do about it, because its bytes taken for text would give columns and values that nobody wrote.
"""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final, cast

import pyarrow as pa

from cardwatch.card_numbers import mask_card_numbers
from cardwatch.errors import MappingError

HEAD_BYTES: Final = 1 << 16
READ_ERRORS: Final = (
    pa.ArrowException, OSError, EOFError, UnicodeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile,
)  # fmt: skip
"""Exceptions of the readers for a damaged or incomplete file."""

_SHOWN_MEMBERS: Final = 5
_COMPRESSIONS: Final = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_XZ: Final = b"\xfd7zXZ\x00"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")

_CONVERT: Final = "convert it to Parquet or CSV first"
_UNPACK: Final = "unpack it first"
_EXPORT: Final = "export the table as CSV or Parquet"
_BINARY: Final[tuple[tuple[int, bytes, str, str], ...]] = (
    (0, b"PARE", "an encrypted Parquet file", "decrypt it first"),
    (0, b"ARROW1", "an Arrow IPC or Feather file", f"{_CONVERT}: pandas.read_feather(FILE).to_parquet(NAME)"),
    (0, b"FEA1", "a Feather file", f"{_CONVERT}: pandas.read_feather(FILE).to_parquet(NAME)"),
    (0, b"\xff\xff\xff\xff", "an Arrow IPC stream", _CONVERT),
    (0, b"ORC", "an ORC file", f"{_CONVERT}: pandas.read_orc(FILE).to_parquet(NAME)"),
    (0, b"Obj\x01", "an Avro file", _CONVERT),
    (0, b"SQLite format 3\0", "an SQLite database", _EXPORT),
    (8, b"DUCK", "a DuckDB database", _EXPORT),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", f"{_CONVERT}: pandas.read_hdf(FILE).to_parquet(NAME)"),
    (0, b"CDF\x01", "a NetCDF file", _CONVERT),
    (0, b"\x93NUMPY", "a NumPy array (.npy)", _CONVERT),
    (0, b"\x80\x02", "a Python pickle, which is never loaded", _CONVERT),
    (0, b"\x80\x03", "a Python pickle, which is never loaded", _CONVERT),
    (0, b"\x80\x04", "a Python pickle, which is never loaded", _CONVERT),
    (0, b"\x80\x05", "a Python pickle, which is never loaded", _CONVERT),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document (.xls)", "save the sheet as CSV (UTF-8)"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x1f\x9d", "a file compressed with compress (.Z)", _UNPACK),
    (0, b"LZIP", "a file compressed with lzip", _UNPACK),
    (0, b"\x5d\x00\x00", "a file compressed with LZMA", _UNPACK),
    (0, b"\xff\x06\x00\x00sNaPpY", "a file compressed with Snappy", _UNPACK),
    (0, b"RDX", "an R data file", f"{_CONVERT}: write.csv() in R"),
    (0, b"RDA", "an R data file", f"{_CONVERT}: write.csv() in R"),
    (0, b"X\n\x00\x00\x00", "an R data file (.rds)", f"{_CONVERT}: write.csv() in R"),
    (0, b"$FL2", "an SPSS file", f"{_CONVERT}: pandas.read_spss(FILE).to_parquet(NAME)"),
    (0, b"<stata_dta>", "a Stata file", f"{_CONVERT}: pandas.read_stata(FILE).to_parquet(NAME)"),
    (12, b"\xc2\xea\x81\x60\xb3\x14\x11\xcf", "a SAS file", f"{_CONVERT}: pandas.read_sas(FILE).to_parquet(NAME)"),
    (0, b"%PDF-", "a PDF document", _EXPORT),
    (0, b"%!PS", "a PostScript document", _EXPORT),
    (0, b"{\\rtf", "an RTF document", "save the table as CSV (UTF-8)"),
    (0, b"\x89PNG", "an image (PNG)", _EXPORT),
    (0, b"\xff\xd8\xff", "an image (JPEG)", _EXPORT),
    (0, b"GIF8", "an image (GIF)", _EXPORT),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the data", "fetch it with `git lfs pull`"),
)
"""Offset, magic number, what it is, what to do. Source: the formats' own specifications, and libmagic's list."""

_DOWNLOAD: Final = "is it a log-in or error page saved in place of the file? Download the data again"
_MARKUP: Final[tuple[tuple[re.Pattern[bytes], str, str], ...]] = (
    (re.compile(rb"<(!doctype html|html|head|body|table|script|!--)", re.IGNORECASE), "a web page (HTML)", _DOWNLOAD),
    (re.compile(rb"<(\?xml|!doctype|[a-z])", re.IGNORECASE), "an XML document", _CONVERT),
    (
        re.compile(rb'\{\s*["}]|\[\s*(\{|\[|\]|"|-?\d+\s*[,\]])'),
        "JSON",
        f"{_CONVERT}: pandas.read_json(FILE, lines=True) reads one object per line",
    ),
)
"""Documents in text, by what stands first, blanks apart."""


def is_parquet(path: Path) -> bool:
    """Return whether the file is Parquet. Raises `MappingError` if it cannot be read."""
    return _head(path, 4) == b"PAR1"


def open_text(path: Path) -> pa.NativeFile:
    """Open the bytes of a text file, uncompressed. Raises `MappingError` for every other kind of file."""
    stream, container = _open_container(path)
    with stream:
        _check_is_text(path, stream, container)
    return _open_container(path)[0]  # from its beginning again: no compressed stream can be rewound


def read_head(path: Path) -> bytes:
    """Return the first bytes of the uncompressed text. Raises `MappingError` as `open_text` does."""
    with open_text(path) as stream:
        try:
            return stream.read(HEAD_BYTES)
        except READ_ERRORS as error:
            raise damaged(path, error) from error


def damaged(path: Path, error: BaseException) -> MappingError:
    """Return the error for a file whose content cannot be read to its end."""
    reason = mask_card_numbers((str(error) or type(error).__name__).splitlines()[0])[:200]
    return MappingError(f"{path}: cannot be read, it is damaged or incomplete: {reason}")


def _head(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise MappingError(f"{path}: cannot be read: {error.strerror}") from error


def _open_container(path: Path) -> tuple[pa.NativeFile, str]:
    """The bytes of a file, uncompressed, and what kind of container they come from; empty for none."""
    head = _head(path, HEAD_BYTES)
    if head.startswith(_ZIP):
        return _open_member(path), "a zip archive"
    if head.startswith(_XZ):
        return _from_python(lzma.open(path)), "an xz file"
    compression: Any = next((name for magic, name in _COMPRESSIONS.items() if head.startswith(magic)), None)
    return pa.input_stream(str(path), compression=compression), f"a {compression} file" if compression else ""


def _check_is_text(path: Path, stream: pa.NativeFile, container: str) -> None:
    try:
        head = stream.read(HEAD_BYTES)
    except READ_ERRORS as error:
        raise damaged(path, error) from error
    inside = f"{container} that holds " if container else ""
    if not head.strip():
        raise MappingError(f"{path}: is {inside}an empty file" if container else f"{path}: is empty")
    if found := _not_text(head):
        what, remedy = found
        raise MappingError(f"{path}: is {inside}{what}, not CSV text; {remedy}")


def _not_text(head: bytes) -> tuple[str, str] | None:
    """Say which kind of file bytes are that are not text, and what to do."""
    if head.startswith(b"PAR1"):
        return "a Parquet file", "decompress it first, Parquet is compressed inside"
    if head.startswith((*_ZIP, _XZ, *_COMPRESSIONS)):
        return "another compressed file", _UNPACK
    for offset, magic, what, remedy in _BINARY:
        if head.startswith(magic, offset):
            return what, remedy
    written = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next(((what, remedy) for pattern, what, remedy in _MARKUP if pattern.match(written)), None)


def _from_python(file: Any) -> pa.NativeFile:
    return cast(pa.NativeFile, pa.PythonFile(file, mode="r"))


def _open_member(path: Path) -> pa.NativeFile:
    """Open the only file of a zip archive."""
    try:
        archive = zipfile.ZipFile(path)
        members = [info for info in archive.infolist() if not info.is_dir() and not _is_clutter(info.filename)]
        names = [info.filename for info in members]
        if office := _office(archive, names):
            raise MappingError(f"{path}: is {office}")
        if len(members) != 1:
            more = ", ..." if len(names) > _SHOWN_MEMBERS else ""
            held = f" ({mask_card_numbers(', '.join(names[:_SHOWN_MEMBERS]))}{more})" if names else ""
            raise MappingError(
                f"{path}: is a zip archive of {len(names)} files{held}; unpack it, and give the file that holds the"
                " transactions"
            )
        return _from_python(archive.open(names[0]))
    except zipfile.BadZipFile as error:
        raise MappingError(f"{path}: is a zip archive that is damaged or incomplete: {error}") from error
    except (RuntimeError, NotImplementedError) as error:
        raise MappingError(f"{path}: is a zip archive that cannot be read here ({error}); {_UNPACK}") from error


def _is_clutter(name: str) -> bool:
    """Whether an archive program of a Mac put it there."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] == ".DS_Store"


def _office(archive: zipfile.ZipFile, names: list[str]) -> str:
    """Say to which program a zip archive belongs, and what to do; empty if it is just an archive."""
    if "[Content_Types].xml" in names:
        if any(name.startswith("xl/") for name in names):
            return "an Excel workbook; save the sheet as CSV (UTF-8)"
        return "an Office document; save the table as CSV (UTF-8)"
    if "mimetype" in names and b"opendocument" in archive.read("mimetype")[:100]:
        return "an OpenDocument file; save the sheet as CSV (UTF-8)"
    if names and all(name.endswith(".npy") for name in names):
        return f"a NumPy archive (.npz); {_CONVERT}"
    if any(name.endswith("data.pkl") for name in names):
        return f"a PyTorch file, which is never loaded; {_CONVERT}"
    return ""
