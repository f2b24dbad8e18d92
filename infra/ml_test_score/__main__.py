"""Write docs/ml-test-score.md: `.venv/bin/python -m infra.ml_test_score`."""

from __future__ import annotations

from infra.ml_test_score.document import SCORE_PAGE, score_document

if __name__ == "__main__":
    SCORE_PAGE.write_text(score_document(), encoding="utf-8")
