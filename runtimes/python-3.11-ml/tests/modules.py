"""Imports every module of the packages: nobody but tests misses what was trimmed from the tree."""
import importlib
import pkgutil
import warnings

warnings.simplefilter("ignore")
PACKAGES = ("joblib", "matplotlib", "mpl_toolkits", "numpy", "pandas", "PIL", "scipy", "seaborn", "sklearn")


# Modules that do not import in a complete install either, and why.
ELSEWHERE = {
    "joblib.externals.loky.backend._win_reduction": "Windows",
    "matplotlib.backends": "desktops, and a web server",
    "numpy.core._umath_tests": "an experiment of numpy that asks to be turned on",
    "numpy.core.umath_tests": "its old name",
}


def is_elsewhere(name, error):
    """Says whether a module lacks a package that is optional, or is for another system."""
    lacks = (getattr(error, "name", None) or "").split(".")[0]
    optional = isinstance(error, ModuleNotFoundError) and lacks not in PACKAGES
    return optional or "Missing optional dependency" in str(error) or any(f"{name}.".startswith(f"{known}.") for known in ELSEWHERE)


count, failed = 0, []


def attempt(name):
    global count
    try:
        importlib.import_module(name)
        count += 1
    except BaseException as error:  # SystemExit too: some are programs
        if not is_elsewhere(name, error):
            failed.append(f"{name}: {type(error).__name__}: {error}")


for package in PACKAGES:
    attempt(package)
    path = importlib.import_module(package).__path__
    for found in pkgutil.walk_packages(path, package + ".", onerror=attempt):
        if not found.name.endswith("__main__"):
            attempt(found.name)
assert not failed, "\n".join(failed)
print(count, "modules")
