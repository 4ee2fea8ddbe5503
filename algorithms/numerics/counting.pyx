"""Counts of values by class in bins of each column: one compiled pass where indices of arrays would take eight."""

from libc.stdint cimport int64_t, uint8_t

ctypedef fused real:
    float
    double


def clamped(
    const real[:, ::1] values not None, real centre, real lowest, real highest, real[::1] least not None,
    real[::1] most not None, real[:, ::1] gaps not None,
):
    """Distances from a centre, held between two bounds; nan becomes the lower one.

    values        (records, columns)
    least, most   become the smallest and largest of each column, where they are beyond them  (columns,)
    gaps          are written                                                                (records, columns)
    """
    cdef Py_ssize_t records = values.shape[0], columns = values.shape[1], record, column
    cdef const real *row
    cdef real *out
    cdef real gap
    cdef real *small
    cdef real *large
    if not gaps.shape[0] == records or not gaps.shape[1] == least.shape[0] == most.shape[0] == columns:
        raise ValueError("the arrays are not of one shape")
    if not records or not columns:
        return
    small, large = &least[0], &most[0]
    with nogil:
        for record in range(records):
            row, out = &values[record, 0], &gaps[record, 0]
            for column in range(columns):
                gap = row[column] - centre
                gap = gap if gap > lowest else lowest
                gap = gap if gap < highest else highest
                out[column] = gap
                small[column] = gap if gap < small[column] else small[column]
                large[column] = gap if gap > large[column] else large[column]


def count(
    const real[:, ::1] values not None, const uint8_t[::1] classes not None, const real[::1] scales not None,
    const int64_t[::1] starts not None, int64_t[:, :, ::1] counts not None,
):
    """Add 1 for each value to the bin with the number floor(value * scale) - start.

    values    (records, columns)
    classes   (records,)
    scales    bins to a unit; powers of two                (columns,)
    starts    what the first bin of each column is called  (columns,)
    counts    (columns, classes, bins)
    """
    cdef Py_ssize_t records = values.shape[0], columns = values.shape[1], record, column
    cdef int64_t bins = counts.shape[2], place = 0
    cdef real scaled
    cdef bint inside = True
    if classes.shape[0] != records:
        raise ValueError("there is not one class for each record")
    if not scales.shape[0] == starts.shape[0] == counts.shape[0] == columns:
        raise ValueError("there is not one scale, start and row of counts for each column")
    with nogil:
        for record in range(records):
            if classes[record] >= counts.shape[1]:
                inside = False
                break
            for column in range(columns):
                scaled = values[record, column] * scales[column]
                place = <int64_t> scaled
                place -= scaled < place  # the cast cuts towards zero
                place -= starts[column]
                if place < 0 or place >= bins:
                    inside = False
                    break
                counts[column, classes[record], place] += 1
            if not inside:
                break
    if not inside:
        raise ValueError("a value or a class is outside the counts")
