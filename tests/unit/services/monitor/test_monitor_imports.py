"""What the monitor imports when it starts."""

import subprocess
import sys


def test_it_starts_without_evidently_which_is_needed_only_when_a_column_is_over_its_threshold() -> None:
    heavy = ("evidently", "pandas", "sklearn", "xgboost", "mlflow")
    program = f"import sys, services.monitor.__main__; print([name for name in {heavy} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"
