"""The isolation forest of scikit-learn as a detector. Imported only in a healer that uses it, since it is large."""

from __future__ import annotations

import os
import statistics
import threading
from collections.abc import Mapping

import numpy as np
from sklearn.ensemble import IsolationForest

from smartops_chaos.lab.smartops.detect import Anomaly, AnomalyKind, Window, ZScore, features

_SAMPLES = 256  # so many Liu, Ting and Zhou (2008) give to each tree
_TREES = 100  # and so many trees
_BLUR = 1.5  # spreads
_LIMIT = 0.5  # of the score, by the same paper: clearly more is an anomaly, clearly less is none


class Forest:
    """How few random cuts it takes to part a window from the healthy ones of the warm-up.

    A forest knows no distance: without neighbours every point is as odd as the oddest that it has learnt. So the few
    healthy windows stand for a cloud of 256, each drawn around one of them with 1.5 times the spread that the z-score
    assumes too; what lies beyond 3 spreads or so is then an anomaly. Values that are better than usual count as usual.
    """

    def __init__(self) -> None:
        self._healthy: list[Mapping[AnomalyKind, float]] = []
        self._model: IsolationForest | None = None  # once it is grown
        self._mean: dict[AnomalyKind, float] = {}
        self._spread: dict[AnomalyKind, float] = {}

    def learn(self, healthy: Window) -> None:
        self._healthy.append(features(healthy))

    @property
    def ready(self) -> bool:
        return self._model is not None

    def settle(self) -> None:
        """Grow in a thread that takes only what the lab leaves over: a tenth of a second of CPU time, taken from the
        replicas just before a fault, would be a fault of its own."""
        threading.Thread(target=self._grow, daemon=True).start()

    def judge(self, seen: Window) -> Anomaly | None:
        assert self._model is not None
        worse = {kind: max(0.0, value - self._mean[kind]) for kind, value in features(seen).items()}
        score = -float(self._model.score_samples([[self._mean[kind] + worse[kind] for kind in self._mean]])[0])
        if score <= _LIMIT:
            return None
        return Anomaly(max(worse, key=lambda kind: worse[kind] / self._spread[kind]), round(score, 3))

    def _grow(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        for kind in self._healthy[0]:
            values = [known[kind] for known in self._healthy]
            self._mean[kind] = statistics.fmean(values)
            self._spread[kind] = max(statistics.pstdev(values), ZScore.FLOORS[kind])
        dice = np.random.default_rng(0)
        centres = dice.choice([[known[kind] for kind in self._mean] for known in self._healthy], _SAMPLES)
        cloud = dice.normal(centres, _BLUR * np.array(list(self._spread.values())))
        self._model = IsolationForest(n_estimators=_TREES, max_samples=_SAMPLES, random_state=0).fit(cloud)
