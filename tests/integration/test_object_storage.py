"""Buckets as moto serves them: objects whole or not there, folders that follow a prefix, and errors that are ours."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import boto3
import pytest

from adapters.aws.object_keys import parse_object_url
from adapters.aws.s3 import Bucket
from cardwatch.errors import Misconfigured, ObjectMissing, StorageUnavailable, Superseded

REGION = "eu-central-1"
NUMBERS = count()


@pytest.fixture
def bucket(dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb_endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    name = f"objects-{next(NUMBERS)}"
    client = boto3.client("s3")
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    client.close()
    return Bucket(name)


def test_an_object_is_what_was_put(bucket: Bucket) -> None:
    assert not bucket.has("a/b")
    assert bucket.find("a/b") is None
    bucket.put("a/b", b"content")
    assert bucket.has("a/b")
    assert not bucket.has("a/")
    assert bucket.find("a/b") == bucket.get("a/b") == b"content"
    assert bucket.get("a/b", first_byte=3) == b"tent"


def test_an_object_that_is_not_there_is_named(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissing, match="has no a/b"):
        bucket.get("a/b")
    with pytest.raises(ObjectMissing, match="has no a/b"):
        bucket.download("a/b", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_objects_are_listed_by_key_after_a_key(bucket: Bucket) -> None:
    for key in ("x/2", "x/10", "y/1", "x/sub/3"):
        bucket.put(key, b"1")
    assert [found.key for found in bucket.objects("x/")] == ["x/10", "x/2", "x/sub/3"]
    assert [found.key for found in bucket.objects("x/", after="x/10")] == ["x/2", "x/sub/3"]
    assert bucket.folders("") == ["x", "y"]
    assert bucket.folders("x/") == ["sub"]


def test_an_object_is_replaced_only_if_it_is_the_one_that_was_seen(bucket: Bucket, tmp_path: Path) -> None:
    first = bucket.put("index", b"1", replaces="")
    with pytest.raises(Superseded, match="another process has written index"):
        bucket.put("index", b"2", replaces="")
    file = tmp_path / "index"
    file.write_bytes(b"2")
    second = bucket.put("index", file, replaces=first)
    with pytest.raises(Superseded):
        bucket.put("index", b"3", replaces=first)
    assert bucket.get("index") == b"2"
    assert bucket.download("index", tmp_path / "other") == second


def test_a_folder_fetches_what_has_changed_and_what_is_wanted(bucket: Bucket, tmp_path: Path) -> None:
    for name in ("one", "deep/two", "three"):
        bucket.put(f"tables/{name}", name.encode())
    folder = tmp_path / "tables"
    bucket.fetch_folder("tables/", folder, wanted=lambda name: name != "three")
    assert {path.name for path in folder.rglob("[!.]*") if path.is_file()} == {"one", "two"}
    kept = (folder / "one").stat().st_mtime_ns
    bucket.put("tables/deep/two", b"TWO")
    bucket.fetch_folder("tables/", folder)
    assert (folder / "one").stat().st_mtime_ns == kept
    assert (folder / "deep" / "two").read_bytes() == b"TWO"
    assert (folder / "three").read_bytes() == b"three"


def test_a_file_that_was_changed_here_is_fetched_again(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("tables/one", b"one")
    bucket.fetch_folder("tables/", tmp_path)
    (tmp_path / "one").write_bytes(b"damaged")
    bucket.fetch_folder("tables/", tmp_path)
    assert (tmp_path / "one").read_bytes() == b"one"


def test_a_folder_stores_what_is_new_or_changed(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("archive/old", b"old")
    bucket.fetch_folder("archive/", tmp_path)
    stored_at = {found.key: found.stored_at for found in bucket.objects("archive/")}
    (tmp_path / "day").mkdir()
    (tmp_path / "day" / "new").write_bytes(b"new")
    (tmp_path / "left-out").write_bytes(b"")
    bucket.store_folder(tmp_path, "archive/", wanted=lambda name: name != "left-out")
    assert {found.key for found in bucket.objects("archive/")} == {"archive/old", "archive/day/new"}
    assert next(bucket.objects("archive/old")).stored_at == stored_at["archive/old"]
    (tmp_path / "day" / "new").write_bytes(b"newer")
    bucket.store_folder(tmp_path, "archive/")
    assert bucket.get("archive/day/new") == b"newer"


def test_a_name_that_leads_out_of_the_folder_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("tables/../outside", b"")
    with pytest.raises(Misconfigured, match="outside of"):
        bucket.fetch_folder("tables/", tmp_path / "tables")
    assert not (tmp_path / "outside").exists()


def test_a_bucket_that_does_not_exist_is_misconfigured_and_one_that_does_not_answer_unavailable(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Misconfigured, match="S3 bucket nowhere"):
        Bucket("nowhere").put("key", b"")
    with pytest.raises(Misconfigured, match="S3 bucket nowhere"):
        list(Bucket("nowhere").objects(""))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StorageUnavailable, match="does not answer"):
        Bucket("nobody").get("key")


@pytest.mark.parametrize("url", ["", "s3://bucket", "s3://bucket/", "https://bucket/key"])
def test_what_is_no_address_of_an_object_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="not the address"):
        parse_object_url(url)


def test_the_address_of_an_object_is_taken_apart() -> None:
    assert parse_object_url("s3://bucket/models/1/model.tar.gz") == ("bucket", "models/1/model.tar.gz")


def test_a_folder_that_one_bucket_has_is_stored_into_another_as_well(
    dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb_endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "one.txt").write_bytes(b"1")
    for name in ("first-of-two-buckets", "second-of-two-buckets"):
        boto3.client("s3").create_bucket(Bucket=name)
        bucket = Bucket(name)
        for prefix in ("a/", "b/"):
            bucket.store_folder(folder, prefix)
            assert bucket.get(f"{prefix}one.txt") == b"1"
