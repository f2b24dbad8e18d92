"""Data capture: requests and responses of an endpoint as JSON lines in S3, in SageMaker's format."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any

from moto.core.utils import utcnow

from infra.moto import s3


class DataCapture:
    """Writes the sampled invocations of an endpoint. `config` is SageMaker's DataCaptureConfig, empty for none."""

    def __init__(self, account: str, endpoint: str, config: Mapping[str, Any]) -> None:
        self._account, self._endpoint = account, endpoint
        self._enabled = bool(config.get("EnableCapture"))
        self._percent = int(config.get("InitialSamplingPercentage", 0))
        self._destination = str(config.get("DestinationS3Uri", "")).rstrip("/")
        self._modes = {option["CaptureMode"] for option in config.get("CaptureOptions", [])}
        json_types = config.get("CaptureContentTypeHeader", {}).get("JsonContentTypes", [])
        self._json_types = {content_type.lower() for content_type in json_types}
        self._invocations = 0

    def write(self, variant: str, request: tuple[str, bytes], response: tuple[str, bytes]) -> None:
        """Write one sampled invocation as an object with one line. The parts are (content type, body)."""
        self._invocations += 1
        before, after = ((count * self._percent) // 100 for count in (self._invocations - 1, self._invocations))
        if not self._enabled or before == after:
            return
        now, event_id = utcnow(), str(uuid.uuid4())
        captured = {}
        if self._modes & {"Input", "InputAndOutput"}:
            captured["endpointInput"] = self._part("INPUT", *request)
        if self._modes & {"Output", "InputAndOutput"}:
            captured["endpointOutput"] = self._part("OUTPUT", *response)
        event = {
            "captureData": captured,
            "eventMetadata": {"eventId": event_id, "inferenceTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"},
            "eventVersion": "0",
        }
        key = f"{self._endpoint}/{variant}/{now:%Y/%m/%d/%H/%M-%S}-{now.microsecond // 1000:03d}-{event_id}.jsonl"
        s3.write(self._account, f"{self._destination}/{key}", json.dumps(event).encode() + b"\n")

    def _part(self, mode: str, content_type: str, body: bytes) -> dict[str, str]:
        is_json = content_type.partition(";")[0].strip().lower() in self._json_types
        data = body.decode() if is_json else base64.b64encode(body).decode()
        encoding = "JSON" if is_json else "BASE64"
        return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}
