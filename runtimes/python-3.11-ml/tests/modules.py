"""Imports every module of the packages: what was trimmed from the tree is missed by nobody but tests."""
import importlib
import pkgutil
import warnings

warnings.simplefilter("ignore")
PACKAGES = ("joblib", "matplotlib", "numpy", "pandas", "PIL", "scipy", "seaborn", "sklearn")
# What these need is no part of the runtime: other systems, desktops, compilers, and other packages.
ELSEWHERE = {
    "joblib.externals.loky.backend.popen_loky_win32": "Windows",
    "joblib._dask": "dask",
    "matplotlib.backends.backend_cairo": "cairo",
    "matplotlib.backends.backend_gtk": "GTK",
    "matplotlib.backends.backend_gtk3": "GTK",
    "matplotlib.backends.backend_gtk3agg": "GTK",
    "matplotlib.backends.backend_gtk3cairo": "GTK",
    "matplotlib.backends.backend_gtk4": "GTK",
    "matplotlib.backends.backend_gtk4agg": "GTK",
    "matplotlib.backends.backend_gtk4cairo": "GTK",
}
count, failed = 0, []
for package in PACKAGES:
    module = importlib.import_module(package)
    names = [package] + [found.name for found in pkgutil.walk_packages(module.__path__, package + ".", onerror=failed.append)]
    for name in names:
        if name.endswith("__main__") or name in ELSEWHERE:
            continue
        try:
            importlib.import_module(name)
            count += 1
        except BaseException as error:
            failed.append(f"{name}: {type(error).__name__}: {error}")
assert not failed, "\n".join(failed)
print(count, "modules")
