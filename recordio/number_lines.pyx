"""Lines of text from numbers, each with the fewest digits that give it back, in one compiled pass.

The room for each line is made before it is written: NUMBER_BYTES bounds what any number takes.
"""

from libc.math cimport signbit
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize

cdef extern from "<charconv>" namespace "std" nogil:
    cdef cppclass to_chars_result:
        char *ptr
    to_chars_result to_chars(char *, char *, float)
    to_chars_result to_chars(char *, char *, double)
    to_chars_result to_chars(char *, char *, int64_t)

cdef struct Text:
    const char *at
    Py_ssize_t size

ctypedef fused Real:
    float
    double

ctypedef fused Other:
    float
    double

cdef Py_ssize_t NUMBER_BYTES = 26  # -2.2250738585072014e-308, and a separator
cdef Py_ssize_t INDEX_BYTES = 12  # -2147483648 and a colon
cdef double WHOLE = 2.0**24  # float counts up to here without gaps


def tables(
    const Real[:, ::1] first not None,
    const Other[:, ::1] second not None,
    bytes opening not None,
    bytes middle not None,
    bytes closing not None,
):
    """A line for each row: opening, the first numbers joined by commas, middle, the second ones likewise, closing.

    first, second   (rows, numbers)
    """
    cdef Py_ssize_t rows = first.shape[0], row
    if second.shape[0] != rows:
        raise IndexError(f"got {rows} and {second.shape[0]} rows")
    cdef Py_ssize_t ones = first.shape[1], others = second.shape[1]
    cdef const Real *one = &first[0, 0] if rows and ones else NULL
    cdef const Other *other = &second[0, 0] if rows and others else NULL
    cdef Text begin = Text(opening, len(opening)), between = Text(middle, len(middle)), end = Text(closing, len(closing))
    cdef Py_ssize_t size = begin.size + between.size + end.size + (ones + others) * NUMBER_BYTES
    text = PyByteArray_FromStringAndSize(NULL, rows * size)
    cdef char *start = PyByteArray_AS_STRING(text)
    cdef char *at = start
    with nogil:
        for row in range(rows):
            at = _numbers(_copied(at, begin), one + row * ones, ones)
            at = _numbers(_copied(at, between), other + row * others, others)
            at = _copied(at, end)
    return memoryview(text)[: at - start]


def entries(
    const Other[:, ::1] labels not None,
    const Real[::1] values not None,
    const int32_t[::1] indices not None,
    const int64_t[::1] ends not None,
):
    """A line of libsvm for each row; one without labels and entries is 0:0, so that it is no blank line.

    labels   (rows, labels)
    ends     (rows + 1,): those of row i are values[ends[i]:ends[i + 1]]
    """
    cdef Py_ssize_t rows = labels.shape[0], row, place
    cdef int64_t last = 0
    if ends.shape[0] != rows + 1 or indices.shape[0] != values.shape[0]:
        raise IndexError(f"got {rows} rows, {ends.shape[0]} ends, {indices.shape[0]} indices, {values.shape[0]} values")
    for row in range(rows + 1):
        if not last <= ends[row] <= values.shape[0]:
            raise IndexError(f"got end {ends[row]} after {last}, of {values.shape[0]} values")
        last = ends[row]
    cdef Py_ssize_t count = labels.shape[1]
    cdef const int64_t *end = &ends[0]
    cdef const Real *value = &values[0] if last else NULL
    cdef const int32_t *index = &indices[0] if last else NULL
    cdef const Other *label = &labels[0, 0] if rows and count else NULL
    cdef Py_ssize_t size = rows * (4 + count * NUMBER_BYTES) + values.shape[0] * (INDEX_BYTES + NUMBER_BYTES)
    text = PyByteArray_FromStringAndSize(NULL, size)
    cdef char *start = PyByteArray_AS_STRING(text)
    cdef char *at = start
    cdef char *line
    with nogil:
        for row in range(rows):
            line = at
            at = _numbers(at, label + row * count, count)
            for place in range(end[row], end[row + 1]):
                if at != line:
                    at[0] = c' '
                    at += 1
                at = to_chars(at, at + INDEX_BYTES, <int64_t>index[place]).ptr
                at[0] = c':'
                at = _number(at + 1, value[place])
            if at == line:
                memcpy(at, b"0:0", 3)
                at += 3
            at[0] = c'\n'
            at += 1
    return memoryview(text)[: at - start]


cdef inline char *_copied(char *at, Text text) noexcept nogil:
    memcpy(at, text.at, text.size)
    return at + text.size


cdef inline char *_numbers(char *at, const Real *numbers, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t place
    for place in range(count):
        if place:
            at[0] = c','
            at += 1
        at = _number(at, numbers[place])
    return at


cdef inline char *_number(char *at, Real number) noexcept nogil:
    """JSON where it can be: a zero with a sign needs its point, or it would be an integer, which has none."""
    if -WHOLE <= number <= WHOLE and number == <Real><int64_t>number:
        if number == 0 and signbit(number):
            memcpy(at, b"-0.0", 4)
            return at + 4
        return to_chars(at, at + NUMBER_BYTES, <int64_t>number).ptr
    if number != number:
        memcpy(at, b"nan", 3)
        return at + 3
    return to_chars(at, at + NUMBER_BYTES, number).ptr
