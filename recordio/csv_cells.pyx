"""Cells of CSV, parsed in one compiled pass that writes straight into the table of a batch.

The pass stops at the first cell that is not a number and at the first line with more or fewer cells than the table has
columns, and says where; `csv` words the fault. Every read is bounded by the end of the text, every write by the table.
"""

from libc.math cimport NAN

import numpy as np

from recordio.numerals cimport Real, find, numeral

cdef struct Text:
    const char *at   # on the first line that is not finished
    const char *end


def layout(const unsigned char[::1] text not None):
    """Where the first line that is not blank starts, and how many columns it seems to have: 0 when there is no line."""
    cdef Py_ssize_t start = 0, place, columns = 0
    with nogil:
        while start < text.shape[0] and _ends_line(text[start]):
            start += 1
        if start < text.shape[0]:
            columns = 1
            for place in range(start, text.shape[0]):
                if _ends_line(text[place]):
                    break
                columns += text[place] == c','
    return start, columns


def read(const unsigned char[::1] text not None, Py_ssize_t start, Py_ssize_t columns, dtype):
    """The lines of text[start:] as a table, up to the first one that is not plain.

    dtype    float32 or float64
    returns  table (records, columns); where the pass ended; the column where it stopped there, or -1 at the end of text
    """
    if not (0 <= start < text.shape[0] and columns > 0):
        raise IndexError(f"got start {start} and {columns} columns, in {text.shape[0]} bytes")
    cdef Text cells = Text(<const char *>&text[start], <const char *>&text[0] + text.shape[0])
    cdef Py_ssize_t rows, column = -1
    # A line has a byte a column at least, so that text of a few wide lines cannot ask for more than it is worth.
    with nogil:
        rows = min(_lines(cells), (cells.end - cells.at) // columns + 1)
    cdef object table = np.empty((rows, columns), dtype)
    cdef float[:, ::1] singles
    cdef double[:, ::1] doubles
    if table.itemsize == 4:
        singles = table
        with nogil:
            rows = _fill(&cells, &singles[0, 0], rows, columns, &column)
    else:
        doubles = table
        with nogil:
            rows = _fill(&cells, &doubles[0, 0], rows, columns, &column)
    return table[:rows], cells.at - <const char *>&text[0], column


cdef inline bint _ends_line(char code) noexcept nogil:
    return code == c'\n' or code == c'\r'


cdef Py_ssize_t _lines(Text text) noexcept nogil:
    """How many lines there are at most: \\r\\n is one end, and the last line may lack its own."""
    cdef const char *at = text.at
    cdef Py_ssize_t count = 1
    while (at := find(at, text.end, c'\n')) != text.end:
        at += 1
        count += at != text.end
    at = text.at
    while (at := find(at, text.end, c'\r')) != text.end:
        at += 1
        count += at != text.end and at[0] != c'\n'
    return count


cdef Py_ssize_t _fill(Text *text, Real *out, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t *stop) noexcept nogil:
    """Fill rows, and return how many. Where it stops early, text.at is on a cell, and `stop` its column."""
    cdef const char *at = text.at
    cdef const char *end = text.end
    cdef const char *after
    cdef Py_ssize_t row = 0, column
    while True:
        while at < end and _ends_line(at[0]):
            at += 1
        text.at = at
        if at == end or row == rows:
            return row
        for column in range(columns):
            after = _cell(at, end, out + column)
            if after == NULL or (column < columns - 1 and (after == end or after[0] != c',')) or (
                column == columns - 1 and after != end and not _ends_line(after[0])
            ):
                text.at, stop[0] = at, column
                return row
            at = after + (after != end)
        out += columns
        row += 1


cdef inline const char *_cell(const char *at, const char *end, Real *value) noexcept nogil:
    """Read a number in spaces or quotes or both, or nothing, which is nan; return where the cell ends."""
    cdef const char *after = numeral(at, end, value)
    cdef bint quoted
    if after != NULL and after != end and after[0] > c' ':
        return after
    quoted = at < end and at[0] == c'"'
    at = _spaces(at + quoted, end)
    after = numeral(at, end, value)
    if after == NULL:  # the caller finds a fault where the cell doesn't end here
        after, value[0] = at, NAN
    after = _spaces(after, end)
    if quoted:
        if after == end or after[0] != c'"':
            return NULL
        after = _spaces(after + 1, end)
    return after


cdef inline const char *_spaces(const char *at, const char *end) noexcept nogil:
    while at < end and (at[0] == c' ' or at[0] == c'\t'):
        at += 1
    return at
