"""Margins of factorization machines, their gradients, and Adam on the rows of a batch, in compiled passes.

Rendle 2010, eq. 1, in the O(entries * factors) form of lemma 3.1; the gradient is eq. 4. A record's entries are (slot,
value) pairs, and a slot is a row of a table:

    factors, filled up with zeros to a multiple of four; then the linear weight       (columns,)

A table that learns has three such stretches in each row, since rows lie anywhere and each place in memory is a wait:
the weights, and the first and second moment of their gradients. Every slot is checked before it is used. Factors are
taken four at a time, each record for itself, so results depend on no batch, thread or processor.
"""

from libc.math cimport sqrtf
from libc.stdint cimport int32_t, int64_t

import numpy as np

cdef enum:
    LANES = 4


cdef struct Entries:
    const int32_t *slots
    const float *values
    Py_ssize_t count


cdef struct Group:  # weights that share a rate
    float rate
    float decay


cdef struct Step:
    float keep_first
    float keep_second
    float epsilon
    float most  # gradients are cut to [-most, most]
    float scale


def margins(
    const int32_t[::1] starts not None, const int32_t[::1] slots not None, const float[::1] values not None,
    const float[:, :] weights not None, float bias,
):
    """What the model gives for each record before any link.

    starts     of each record's entries, and their end             (records + 1,)
    slots      (entries,)
    values     (entries,)
    weights    rows may lie apart                                  (slots, columns)
    returns    margins (records,), and the sum of value * factors over the entries of each record (records, columns - 1)
    """
    cdef Py_ssize_t records = starts.shape[0] - 1, record, columns = weights.shape[1]
    _check(starts, slots, values, weights.shape[0], columns)
    margins_array = np.empty(records, np.float32)
    sums_array = np.empty((records, columns - 1), np.float32)
    if not records:
        return margins_array, sums_array
    cdef float[::1] margin = margins_array
    cdef float[:, ::1] sums = sums_array
    cdef const float *table = &weights[0, 0] if weights.shape[0] else NULL
    cdef Py_ssize_t stride = weights.strides[0] // sizeof(float)
    if weights.strides[1] != sizeof(float):
        raise ValueError("the weights of a row lie apart")
    cdef float *sum = &sums[0, 0] if columns > 1 else NULL
    with nogil:
        for record in range(records):
            margin[record] = bias + _margin(
                _entries(starts, slots, values, record), table, stride, columns, sum + record * (columns - 1)
            )
    return margins_array, sums_array


def gradients(
    const int32_t[::1] starts not None, const int32_t[::1] slots not None, const float[::1] values not None,
    const int32_t[::1] places not None, Py_ssize_t rows, const float[:, :, ::1] kept not None,
    const float[:, ::1] sums not None, const float[::1] slopes not None,
):
    """Sums over the records of slope * gradient of the margin, for each different slot. As for `margins`.

    places     where each entry's slot stands among the different ones   (entries,)
    sums       that `margins` gave                                       (records, columns - 1)
    slopes     of the loss                                               (records,)
    returns    (rows, columns)
    """
    cdef Py_ssize_t records = starts.shape[0] - 1, record, number, columns = kept.shape[2]
    _check(starts, slots, values, kept.shape[0], columns)
    if places.shape[0] != slots.shape[0] or slopes.shape[0] != records:
        raise ValueError("there is not one place for each entry, or one slope for each record")
    if sums.shape[0] != records or sums.shape[1] != columns - 1:
        raise ValueError("the sums have another shape than the records")
    for number in range(places.shape[0]):
        if places[number] < 0 or places[number] >= rows:
            raise ValueError(f"got place {places[number]}, expected 0 to {rows - 1}")
    found = np.zeros((rows, columns), np.float32)
    if not slots.shape[0]:
        return found
    cdef float[:, ::1] gradient = found
    with nogil:
        for record in range(records):
            _gradient(
                _entries(starts, slots, values, record), &places[0] + starts[record], &kept[0, 0, 0],
                3 * columns, columns, &sums[record, 0] if columns > 1 else NULL, slopes[record], &gradient[0, 0],
            )
    return found


def step(
    const int32_t[::1] rows not None, const float[:, ::1] gradient not None, float[:, :, ::1] kept not None,
    moves, factors, linear,
):
    """Adam (Kingma and Ba 2015) on some rows, in the form that its section 2 ends with.

    gradient         of the sum over a batch                        (rows, columns)
    kept             weights, first moment, second moment           (slots, 3, columns)
    moves            beta 1, beta 2, epsilon, limit of a gradient, factor that makes a gradient of the sum
    factors, linear  learning rate, corrected for moments that began at 0, and decay: a share of the weight that is
                     added to its gradient
    """
    cdef Py_ssize_t number, column, columns = kept.shape[2]
    cdef Step step
    cdef Group of_factors, of_linear
    step.keep_first, step.keep_second, step.epsilon, step.most, step.scale = moves
    of_factors.rate, of_factors.decay = factors
    of_linear.rate, of_linear.decay = linear
    _check_columns(columns)
    if kept.shape[1] != 3 or gradient.shape[0] != rows.shape[0] or gradient.shape[1] != columns:
        raise ValueError("the gradient has another shape than its rows")
    for number in range(rows.shape[0]):
        if rows[number] < 0 or rows[number] >= kept.shape[0]:
            raise ValueError(f"got row {rows[number]}, expected 0 to {kept.shape[0] - 1}")
    cdef float *row
    cdef const float *slope
    with nogil:
        for number in range(rows.shape[0]):
            row, slope = &kept[rows[number], 0, 0], &gradient[number, 0]
            for column in range(0, columns - 1, 4):
                _move(LANES, row + column, columns, slope + column, step, of_factors)
            _move(1, row + columns - 1, columns, slope + columns - 1, step, of_linear)


cdef int _check_columns(Py_ssize_t columns) except -1:
    if columns < 1 or (columns - 1) % LANES:
        raise ValueError(f"got {columns} columns, expected one more than a multiple of {LANES}")
    return 0


cdef int _check(
    const int32_t[::1] starts, const int32_t[::1] slots, const float[::1] values, Py_ssize_t rows, Py_ssize_t columns
) except -1:
    cdef Py_ssize_t number
    _check_columns(columns)
    if not starts.shape[0] or starts[0] or starts[starts.shape[0] - 1] != slots.shape[0]:
        raise ValueError("the records are not those of the entries")
    if values.shape[0] != slots.shape[0]:
        raise ValueError("there is not one value for each slot")
    for number in range(starts.shape[0] - 1):
        if starts[number] > starts[number + 1]:
            raise ValueError("a record ends before it starts")
    for number in range(slots.shape[0]):
        if slots[number] < 0 or slots[number] >= rows:
            raise ValueError(f"got slot {slots[number]}, expected 0 to {rows - 1}")
    return 0


cdef Entries _entries(
    const int32_t[::1] starts, const int32_t[::1] slots, const float[::1] values, Py_ssize_t record
) noexcept nogil:
    cdef Entries entries
    entries.count = starts[record + 1] - starts[record]
    entries.slots = &slots[starts[record]] if entries.count else NULL
    entries.values = &values[starts[record]] if entries.count else NULL
    return entries


cdef float _margin(
    Entries entries, const float *table, Py_ssize_t stride, Py_ssize_t columns, float *sums
) noexcept nogil:
    cdef Py_ssize_t column, number
    cdef float linear = 0, pairs = 0
    for number in range(entries.count):
        linear += entries.values[number] * table[entries.slots[number] * stride + columns - 1]
    for column in range(0, columns - 1, 4):
        pairs += _pairs(entries, table + column, stride, sums + column)
    return linear + pairs / 2


cdef inline float _pairs(Entries entries, const float *table, Py_ssize_t stride, float *sums) noexcept nogil:
    """Twice the pair term of some factors: squares of sums less sums of squares."""
    cdef float sum[LANES]
    cdef float squares[LANES]
    cdef float term
    cdef const float *factors
    cdef Py_ssize_t number
    cdef int lane
    for lane in range(LANES):
        sum[lane] = squares[lane] = 0
    for number in range(entries.count):
        factors = table + entries.slots[number] * stride
        for lane in range(LANES):
            term = entries.values[number] * factors[lane]
            sum[lane] += term
            squares[lane] += term * term
    term = 0
    for lane in range(LANES):
        sums[lane] = sum[lane]
        term += sum[lane] * sum[lane] - squares[lane]
    return term


cdef inline void _gradient(
    Entries entries, const int32_t *places, const float *table, Py_ssize_t stride, Py_ssize_t columns,
    const float *sums, float slope, float *gradient,
) noexcept nogil:
    cdef Py_ssize_t column, number
    cdef int lane
    cdef float value, sum[LANES]
    cdef const float *factors
    cdef float *own
    for column in range(0, columns - 1, 4):
        for lane in range(LANES):
            sum[lane] = sums[column + lane]
        for number in range(entries.count):
            value = entries.values[number]
            factors = table + entries.slots[number] * stride + column
            own = gradient + places[number] * columns + column
            for lane in range(LANES):
                own[lane] += slope * value * (sum[lane] - value * factors[lane])
    for number in range(entries.count):
        gradient[places[number] * columns + columns - 1] += slope * entries.values[number]


cdef inline void _move(
    const int lanes, float *row, Py_ssize_t columns, const float *slopes, Step step, Group group
) noexcept nogil:
    cdef float slope[LANES]
    cdef float first[LANES]
    cdef float second[LANES]
    cdef int lane
    for lane in range(lanes):
        slope[lane] = step.scale * slopes[lane] + group.decay * row[lane]
        slope[lane] = step.most if slope[lane] > step.most else slope[lane]  # nan stays nan
        slope[lane] = -step.most if slope[lane] < -step.most else slope[lane]
        first[lane] = step.keep_first * row[columns + lane] + (1 - step.keep_first) * slope[lane]
        second[lane] = (
            step.keep_second * row[2 * columns + lane] + (1 - step.keep_second) * slope[lane] * slope[lane]
        )
    for lane in range(lanes):
        row[columns + lane] = first[lane]
        row[2 * columns + lane] = second[lane]
        row[lane] -= group.rate * first[lane] / (sqrtf(second[lane]) + step.epsilon)
