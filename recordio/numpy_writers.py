"""Writers of NumPy files: .npy with labels as first columns, and .npz with an array for each member."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from recordio.batch import Batch
from recordio.errors import UserError
from recordio.writers import Writer, dense_pieces


class NpyWriter(Writer):
    """One table, labels first. The header, which says the number of records, is written again at the end."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        if not file.seekable():
            raise UserError(".npy states the number of records first: it needs a file, not a pipe")
        self._rows = _Rows(file)

    def _write(self, batch: Batch) -> None:
        for table, rows in dense_pieces(batch, ".npy"):
            if batch.labels is None:
                self._rows.add(table)
            else:
                self._rows.add(np.concatenate([batch.labels[rows].reshape(len(table), -1), table], axis=1))

    def close(self) -> None:
        self._rows.close()


class NpzWriter(Writer):
    """Dense records: features, labels. Sparse ones: as scipy.sparse.save_npz, and labels. The first batch decides.

    Members grow at the same time, which a zip file can't: in files of their own, beside the output, until the end.
    """

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        name = getattr(file, "name", None)
        is_file = isinstance(name, str | PathLike) and Path(name).is_file()
        self._folder = Path(name).parent if is_file else None  # type: ignore[arg-type]
        self._members: dict[str, _Rows] = {}
        self._sparse: bool | None = None
        self._entries = 0

    def _write(self, batch: Batch) -> None:
        features: Any = batch.features
        if self._sparse is None:
            self._sparse = not isinstance(features, np.ndarray)
            if self._sparse:
                self._add("indptr", np.zeros(1, np.int64))
        if batch.labels is not None:
            self._add("labels", batch.labels)
        if not self._sparse:
            for table, _ in dense_pieces(batch, "dense .npz"):
                self._add("features", table)
            return
        from scipy.sparse import csr_array

        some = csr_array(features)
        self._add("data", some.data)
        self._add("indices", some.indices.astype(np.int32))
        self._add("indptr", some.indptr[1:].astype(np.int64) + self._entries)
        self._entries += some.nnz

    def _add(self, name: str, rows: NDArray[Any]) -> None:
        if name not in self._members:
            self._members[name] = _Rows(tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115 - closed by discard
        self._members[name].add(rows)

    def close(self) -> None:
        with zipfile.ZipFile(self._file, "w") as archive:

            def member(name: str, fill: Callable[[IO[bytes]], object]) -> None:
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    fill(file)

            for name, rows in self._members.items():
                rows.close()
                rows.file.seek(0)
                member(name, lambda file, rows=rows: shutil.copyfileobj(rows.file, file, 2**20))  # type: ignore[misc]
            if self._sparse and self._form is not None:
                facts = {"format": np.array(b"csr"), "shape": np.array([self.records, self._form[0]])}
                for name, fact in {**facts, "_is_array": np.array(True)}.items():
                    member(name, lambda file, fact=fact: npy.write_array(file, fact, allow_pickle=False))  # type: ignore[misc]
        self.discard()

    def discard(self) -> None:
        for rows in self._members.values():
            rows.file.close()


class _Rows:
    """An array in the .npy format that grows along its first axis.

    NumPy pads the header so that the length of the first axis can become any number in the same place.
    """

    def __init__(self, file: Any) -> None:
        self.file = file
        self._start = file.tell()
        self._like: NDArray[Any] = np.empty((0, 0), np.float32)
        self._count = 0

    def add(self, rows: NDArray[Any]) -> None:
        if not self._count:
            self._like = rows[:0]
            self.file.write(self._header())
        self.file.write(np.ascontiguousarray(rows).data)
        self._count += len(rows)

    def close(self) -> None:
        end = self.file.tell()
        self.file.seek(self._start)
        self.file.write(self._header())
        self.file.seek(max(end, self.file.tell()))

    def _header(self) -> bytes:
        header = io.BytesIO()
        shape = (self._count, *self._like.shape[1:])
        facts = {"descr": npy.dtype_to_descr(self._like.dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(header, facts)
        return header.getvalue()
