"""Data capture: the requests and answers of an endpoint as JSON lines in S3, as SageMaker writes them."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any

from moto.core.utils import utcnow

from infra.moto import storage


class Capture:
    """Keeps what `config` (a DataCaptureConfig) asks for, of the endpoint called `endpoint`."""

    def __init__(self, account: str, endpoint: str, config: Mapping[str, Any]) -> None:
        self._account, self._endpoint = account, endpoint
        self._enabled = bool(config.get("EnableCapture"))
        self._percent = int(config.get("InitialSamplingPercentage", 0))
        self._to = str(config.get("DestinationS3Uri", "")).rstrip("/")
        self._modes = {option["CaptureMode"] for option in config.get("CaptureOptions", [])}
        self._json = {kind.lower() for kind in config.get("CaptureContentTypeHeader", {}).get("JsonContentTypes", [])}
        self._seen = 0

    def keep(self, variant: str, sent: tuple[str, bytes], answered: tuple[str, bytes]) -> None:
        """Write one invocation, if it belongs to the sample: an object of its own with one line."""
        self._seen += 1
        if not self._enabled or self._seen * self._percent // 100 == (self._seen - 1) * self._percent // 100:
            return
        now, event_id = utcnow(), str(uuid.uuid4())
        captured = {}
        if self._modes & {"Input", "InputAndOutput"}:
            captured["endpointInput"] = self._part("INPUT", *sent)
        if self._modes & {"Output", "InputAndOutput"}:
            captured["endpointOutput"] = self._part("OUTPUT", *answered)
        event = {
            "captureData": captured,
            "eventMetadata": {"eventId": event_id, "inferenceTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"},
            "eventVersion": "0",
        }
        key = f"{self._endpoint}/{variant}/{now:%Y/%m/%d/%H/%M-%S}-{now.microsecond // 1000:03d}-{event_id}.jsonl"
        storage.write(self._account, f"{self._to}/{key}", json.dumps(event).encode() + b"\n")

    def _part(self, mode: str, content_type: str, body: bytes) -> dict[str, str]:
        is_json = content_type.partition(";")[0].strip().lower() in self._json
        data = body.decode() if is_json else base64.b64encode(body).decode()
        encoding = "JSON" if is_json else "BASE64"
        return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}
