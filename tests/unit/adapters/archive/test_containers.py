"""Files that are not what their name says: read through where they hold one text, else refused by their own name."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest

from adapters.archive.tabular import CsvDialect, column_names, read_text
from cardwatch.errors import MappingError

TEXT = b"time,card\n" + b"".join(b"2024-03-01,card-%d\n" % row for row in range(20_000))
TABLE = pa.table({"time": ["2024-03-01"], "card": ["card-1"]})


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def compressed(kind: Literal["zstd", "lz4"]) -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.CompressedOutputStream(buffer, kind) as stream:
        stream.write(TEXT)
    return buffer.getvalue().to_pybytes()


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("a.csv")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT))
    return buffer.getvalue()


def arrow_file(write: Callable[[pa.Table, io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(TABLE, buffer)
    return buffer.getvalue()


def ipc_stream() -> bytes:
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, TABLE.schema) as stream:
        stream.write_table(TABLE)
    return buffer.getvalue().to_pybytes()


def sqlite() -> bytes:
    with sqlite3.connect(":memory:") as database:
        database.execute("create table a (b)")
        return database.serialize()


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    return buffer.getvalue()


def encrypted_zip() -> bytes:
    """The flag of an encrypted member, set in both headers."""
    content = bytearray(zipped(("a.csv", TEXT)))
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def rows(path: Path) -> int:
    def malformed(row: int, reason: str) -> None:
        raise AssertionError((row, reason))

    return sum(len(batch.numbers) for batch in read_text(path, ["card"], CsvDialect(), malformed))


@pytest.mark.parametrize("name", ["data", "data.csv", "data.CSV.GZ", "data.zip"])
@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        gzip.compress(TEXT),
        gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:]),
        bz2.compress(TEXT),
        lzma.compress(TEXT),
        compressed("zstd"),
        compressed("lz4"),
        zipped(("folder/a.csv", TEXT), ("__MACOSX/._a.csv", b"x"), ("folder/.DS_Store", b"x")),
    ],
    ids=["plain", "gzip", "two gzip members", "bzip2", "xz", "zstd", "lz4", "zip"],
)
def test_compressed_text_is_read_whatever_the_file_is_called(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert column_names(path, CsvDialect()) == ["time", "card"]
    assert rows(path) == 20_000


REFUSED: dict[str, tuple[bytes, str]] = {
    "two files": (zipped(("a.csv", TEXT), ("b.csv", TEXT)), "is a zip archive of 2 files (a.csv, b.csv); unpack it"),
    "a card number as a name": (
        zipped(("4111 1111 1111 1111.csv", TEXT), ("b.csv", TEXT)),
        "is a zip archive of 2 files ([card number].csv, b.csv); unpack it",
    ),
    "no file": (zipped(), "is a zip archive of 0 files; unpack it"),
    "password": (encrypted_zip(), "is a zip archive that cannot be read here (File 'a.csv' is encrypted"),
    "xlsx": (zipped(("[Content_Types].xml", b"x"), ("xl/workbook.xml", b"x")), "is an Excel workbook; save the sheet"),
    "docx": (zipped(("[Content_Types].xml", b"x"), ("word/document.xml", b"x")), "is an Office document"),
    "ods": (
        zipped(("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"), ("content.xml", b"x")),
        "is an OpenDocument file",
    ),
    "npz": (zipped(("a.npy", npy())), "is a NumPy archive (.npz)"),
    "pt": (zipped(("archive/data.pkl", b"x"), ("archive/version", b"3")), "is a PyTorch file, which is never loaded"),
    "xls": (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(500), "is an old Office document (.xls)"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(50), "is a 7z archive, not CSV text; unpack it first"),
    "rar": (b"Rar!\x1a\x07\x01\x00", "is a RAR archive"),
    "tar": (tar(), "is a tar archive, not CSV text; unpack it first"),
    "tar.gz": (gzip.compress(tar()), "is a gzip file that holds a tar archive"),
    "zip in zip": (zipped(("a.zip", zipped(("a.csv", TEXT)))), "is a zip archive that holds another compressed file"),
    "gzip twice": (gzip.compress(gzip.compress(TEXT)), "is a gzip file that holds another compressed file"),
    "empty gzip": (gzip.compress(b""), "is a gzip file that holds an empty file"),
    "feather": (arrow_file(pyarrow.feather.write_feather), "is an Arrow IPC or Feather file, not CSV text; convert it"),
    "arrow stream": (ipc_stream(), "is an Arrow IPC stream"),
    "orc": (arrow_file(pyarrow.orc.write_table), "is an ORC file"),
    "parquet.gz": (gzip.compress(arrow_file(pq.write_table)), "is a gzip file that holds a Parquet file"),
    "avro": (b"Obj\x01\x04\x14avro.codec", "is an Avro file"),
    "sqlite": (sqlite(), "is an SQLite database, not CSV text; export the table"),
    "pickle": (pickle.dumps({"a": 1}), "is a Python pickle, which is never loaded"),
    "npy": (npy(), "is a NumPy array (.npy)"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "is an HDF5 file"),
    "sas": (bytes(12) + bytes.fromhex("c2ea8160b31411cfbd92080009c7318c"), "is a SAS file"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "is a PDF document"),
    "html": (b"\n<!DOCTYPE html>\n<html>", "is a web page (HTML), not CSV text; is it a log-in or error page"),
    "xml": (b'\xef\xbb\xbf<?xml version="1.0"?><Error/>', "is an XML document"),
    "json lines": (json.dumps({"time": 1}).encode() + b"\n", "is JSON, not CSV text; convert it"),
    "json": (json.dumps([{"time": 1}], indent=2).encode(), "is JSON, not CSV text; convert it"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a pointer of Git LFS, not the data"),
    "cut gzip": (gzip.compress(TEXT)[:60], "cannot be read, it is damaged or incomplete"),
    "cut zip": (zipped(("a.csv", TEXT))[:60], "is a zip archive that is damaged or incomplete"),
    "utf-16": (
        "time,card\n".encode("utf-16"),
        "begins with the mark of utf-16, so it is not utf-8 text; set its",
    ),
    "utf-16 without mark": ("time,card\n".encode("utf-16-be"), "every other byte is zero; set its encoding in the map"),
    "utf-32": ("time,card\n".encode("utf-32"), "begins with the mark of utf-32"),
    "windows": ("time,card,€\n".encode("cp1252"), "for example `file: {encoding: cp1252}`"),
    "binary": (b"time,card\n\x00\x01\x02\x03\n", "row 2 holds the control character U+0000"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_every_other_container_is_refused_by_its_name_whatever_the_encoding(tmp_path: Path, name: str) -> None:
    content, message = REFUSED[name]
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(MappingError) as refusal:
        column_names(path, CsvDialect())
    assert message in str(refusal.value)
    with pytest.raises(MappingError):
        column_names(path, CsvDialect(encoding="latin-1"))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, lambda text: zipped(("a.csv", text))])
def test_a_file_that_is_damaged_in_the_middle_is_refused(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    noise = b"time,card\n" + b"".join(b"%d,%s\n" % (row, random.hex().encode()) for row, random in _noise(20_000))
    content = bytearray(pack(noise))
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(MappingError, match="cannot be read, it is damaged or incomplete: "):
        rows(path)


def _noise(count: int) -> list[tuple[int, bytes]]:
    random = np.random.default_rng(1)
    return [(row, random.bytes(8)) for row in range(count)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "cp1252", "latin-1"])
def test_a_file_is_read_in_the_encoding_of_the_mapping(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes("time,card\n1,kärte\n".encode(encoding))
    [batch] = read_text(path, ["card"], CsvDialect(encoding=encoding), lambda _row, _reason: None)
    assert batch.columns["card"].to_pylist() == ["kärte"]


def test_a_later_row_that_is_no_text_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(TEXT + b"2024-03-01,k\xe4rte\n")
    with pytest.raises(MappingError, match=r"row 20002, column card: is not utf-8 text; .* \{encoding: latin-1\}"):
        rows(path)
    with pytest.raises(MappingError, match="cannot be read"):
        list(read_text(path, ["card"], CsvDialect(encoding="ascii"), lambda _row, _reason: None))


@pytest.mark.parametrize("encoding", ["hex", "rot13", "zlib", "ansi"])
def test_an_encoding_that_is_none_of_text_is_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(TEXT)
    with pytest.raises(MappingError, match=f"'{encoding}' is not an encoding of text that Python knows"):
        column_names(path, CsvDialect(encoding=encoding))


def test_utf_16_without_its_mark_is_told_with_its_order(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes("time,card\n1,c\n".encode("utf-16-le"))
    with pytest.raises(MappingError, match=r"does not start with BOM\); .* `file: \{encoding: utf-16-le\}`"):
        column_names(path, CsvDialect(encoding="utf-16"))
