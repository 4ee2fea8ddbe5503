"""Lines of JSON, parsed in one compiled pass that writes straight into the arrays of a batch.

What is read here is {"features": [numbers]}, with or without "label": a number or a list of them, in any spacing. At the
first line that is anything else the pass stops, and `json_records`, which knows all of JSON and words its faults, takes
over. Every read is bounded by the end of the text, every write by the size of its array.
"""

from libc.string cimport memcmp

import numpy as np

from recordio.numerals cimport JSON, Real, decimal, find

cdef struct Text:
    const char *at
    const char *end

cdef struct Counts:  # of numbers in one record
    Py_ssize_t features
    Py_ssize_t labels


def read(const unsigned char[::1] text not None, Py_ssize_t start, Py_ssize_t most, dtype):
    """The records of text[start:], up to one that is not plain or has another number of features or labels.

    most     features of one record; no record is read when the first has more
    dtype    float32 or float64
    returns  features (records, width), labels (records, labels), and where the next record starts
    """
    if not 0 <= start < text.shape[0]:
        raise IndexError(f"got start {start} in {text.shape[0]} bytes")
    cdef const char *origin = <const char *>&text[0]
    cdef Text rest = Text(origin + start, origin + text.shape[0])
    cdef Counts room
    cdef Py_ssize_t rows = 0
    cdef double nothing = 0
    cdef float[::1] single_features, single_labels
    cdef double[::1] double_features, double_labels
    with nogil:
        rest.at = _record(rest.at, rest.end)
        if _line(rest.at, rest.end, &nothing, &nothing, Counts(0, 0), &room) == NULL:
            room = Counts(0, 0)
        elif room.features <= most:
            # A number takes two bytes at least, so that no text can ask for more than it is worth.
            rows = min(_lines(rest), (rest.end - rest.at) // (2 * (room.features + room.labels)) + 1)
    features = np.empty(rows * room.features, dtype)
    labels = np.empty(rows * room.labels + 1, dtype)  # one more, so that there is a first
    if rows and features.itemsize == 4:
        single_features, single_labels = features, labels
        with nogil:
            rows = _fill(&rest, &single_features[0], &single_labels[0], rows, room)
    elif rows:
        double_features, double_labels = features, labels
        with nogil:
            rows = _fill(&rest, &double_features[0], &double_labels[0], rows, room)
    return (
        features[: rows * room.features].reshape(rows, room.features),
        labels[: rows * room.labels].reshape(rows, room.labels),
        rest.at - origin,
    )


def extent(const unsigned char[::1] text not None):
    """How deep lists and objects nest in any JSON, and how many numbers would take the memory that its values take.

    The second is a rough bound: a text takes as much as a number or its own bytes, a name as four, a list or object as
    eight.
    """
    cdef Py_ssize_t place, depth = 0, deepest = 0, size = 1
    cdef bint quoted = False, escaped = False
    cdef unsigned char code
    with nogil:
        for place in range(text.shape[0]):
            code = text[place]
            if quoted:
                quoted = escaped or code != c'"'
                escaped = not escaped and code == c'\\'
            elif code == c'"':
                quoted = True
            elif code == c',':
                size += 1
            elif code == c':':
                size += 4
            elif code == c'[' or code == c'{':
                size += 8
                depth += 1
                deepest = max(deepest, depth)
            elif code == c']' or code == c'}':
                depth -= 1
    return deepest, size


cdef Py_ssize_t _lines(Text text) noexcept nogil:
    cdef const char *at = text.at
    cdef Py_ssize_t count = 1
    while (at := find(at, text.end, c'\n')) != text.end:
        at += 1
        count += 1
    return count


cdef Py_ssize_t _fill(Text *text, Real *features, Real *labels, Py_ssize_t rows, Counts room) noexcept nogil:
    """Fill rows, and return how many. `text.at` is where the next one starts."""
    cdef const char *after
    cdef Counts counts
    cdef Py_ssize_t row = 0
    while True:
        text.at = _record(text.at, text.end)
        if text.at == text.end or row == rows:
            return row
        after = _line(text.at, text.end, features + row * room.features, labels + row * room.labels, room, &counts)
        if after == NULL or counts.features != room.features or counts.labels != room.labels:
            return row
        text.at = after
        row += 1


cdef inline const char *_line(
    const char *at, const char *end, Real *features, Real *labels, Counts room, Counts *counts
) noexcept nogil:
    """Read an object up to the end of its line; NULL when it is not plain.

    counts   how many numbers there are, of which at most `room` are written
    """
    cdef bint in_list
    counts[0] = Counts(0, 0)
    if at == end or at[0] != c'{':
        return NULL
    while True:
        at = _spaces(at + 1, end)
        if _starts(at, end, b'"features"', 10) and counts.features == 0:
            at = _value(at + 10, end, features, room.features, &counts.features, &in_list)
            if not in_list:
                return NULL
        elif _starts(at, end, b'"label"', 7) and counts.labels == 0:
            at = _value(at + 7, end, labels, room.labels, &counts.labels, &in_list)
        else:
            return NULL
        if at == NULL or at == end:
            return NULL
        if at[0] == c'}':
            break
        if at[0] != c',':
            return NULL
    at = _spaces(at + 1, end)
    return at if counts.features and (at == end or at[0] == c'\n') else NULL


cdef inline const char *_value(
    const char *at, const char *end, Real *out, Py_ssize_t room, Py_ssize_t *count, bint *in_list
) noexcept nogil:
    """Read a colon, a number or a list of them, and spaces around all of that."""
    cdef Real value = 0
    at = _spaces(at, end)
    in_list[0] = False
    if at == end or at[0] != c':':
        return NULL
    at = _spaces(at + 1, end)
    in_list[0] = at != end and at[0] == c'['
    at += in_list[0]
    while True:
        at = _number(_spaces(at, end), end, &value)
        if at == NULL:
            return NULL
        if count[0] < room:
            out[count[0]] = value
        count[0] += 1
        at = _spaces(at, end)
        if not in_list[0]:
            return at
        if at == end:
            return NULL
        if at[0] == c']':
            return _spaces(at + 1, end)
        if at[0] != c',':
            return NULL
        at += 1


cdef inline const char *_number(const char *at, const char *end, Real *value) noexcept nogil:
    cdef const char *after
    cdef bint negative = at < end and at[0] == c'-'
    at += negative
    after = decimal(at, end, value, JSON)
    if negative and after == at + 1 and at[0] == c'0':
        return NULL  # an integer, which has no negative zero
    value[0] *= 1 - 2 * negative
    return after


cdef inline const char *_record(const char *at, const char *end) noexcept nogil:
    """Where the next record starts, after blank lines."""
    at = _spaces(at, end)
    while at < end and at[0] == c'\n':
        at = _spaces(at + 1, end)
    return at


cdef inline const char *_spaces(const char *at, const char *end) noexcept nogil:
    while at < end and (at[0] == c' ' or at[0] == c'\t' or at[0] == c'\r'):
        at += 1
    return at


cdef inline bint _starts(const char *at, const char *end, const char *name, Py_ssize_t size) noexcept nogil:
    return end - at >= size and memcmp(at, name, size) == 0
