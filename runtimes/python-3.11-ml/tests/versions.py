"""Prints the version that each package gives itself, which is the one that pip recorded."""
import importlib
from importlib.metadata import version

MODULES = {
    "joblib": "joblib",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "pandas": "pandas",
    "pillow": "PIL",
    "scikit-learn": "sklearn",
    "scipy": "scipy",
    "seaborn": "seaborn",
}
for package, module in MODULES.items():
    own = importlib.import_module(module).__version__
    assert own == version(package), (package, own, version(package))
    print(package, own)
