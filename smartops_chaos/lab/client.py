"""Client of a lane's control API, with nothing but the lane file: what faults and targets act through."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from smartops_chaos.lab.platform import lane as lane_file


class LaneGone(ConnectionError):
    """The lane has ended: its file is gone or its node is dead, so nothing in it can be in force."""


class LabError(RuntimeError):
    """The node answered with a refusal."""


@dataclass(frozen=True, slots=True)
class LabClient:
    lane_file: Path

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: dict[str, Any], timeout_s: float = 30) -> Any:
        return self.call("POST", path, body, timeout_s)

    def delete(self, path: str, timeout_s: float = 30) -> Any:
        return self.call("DELETE", path, timeout_s=timeout_s)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, timeout_s: float = 10) -> Any:
        """One request, one connection; the lane file is read anew each time, as it is gone when the lane is.

        Raises LaneGone when the lane has ended, LabError when the node refuses, OSError when it does not answer.
        """
        try:
            lane = lane_file.read(self.lane_file)
        except FileNotFoundError:
            raise LaneGone(f"{self.lane_file}: the lane has ended") from None
        address = urlsplit(lane.control)
        connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=timeout_s)
        try:
            # What a healer may do is behind a door of its own.
            token = lane.healer_token if path.startswith("/apis/") else lane.token
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            if not lane_file.runs(lane):
                raise LaneGone(f"{self.lane_file}: the lane's node (process {lane.pid}) is dead") from error
            raise OSError(f"{method} {path} on the lane's node: {error}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise LabError(f"{method} {path}: {answer.status} {text[:500]}")
        return json.loads(text) if text else None
