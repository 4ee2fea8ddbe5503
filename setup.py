"""The compiled modules: every .pyx file of a package becomes an extension beside it.

All else that setuptools needs to know is in pyproject.toml.
"""

from Cython.Build import cythonize
from setuptools import Extension, setup

# Bounds stay checked wherever an array is indexed; code that goes through pointers checks them itself.
DIRECTIVES = {"language_level": 3, "boundscheck": True, "wraparound": False, "cdivision": True}

EXTENSIONS = [
    Extension(
        "*",
        [f"{room}/**/*.pyx"],
        language="c++",
        extra_compile_args=["-std=c++17", "-O3", "-g0", "-fno-math-errno", "-Wall", "-Wno-unused-function"],
    )
    for room in ("recordio", "algorithms")
]

setup(ext_modules=cythonize(EXTENSIONS, compiler_directives=DIRECTIVES, build_dir="build"))
