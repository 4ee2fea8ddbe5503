"""Lines of libsvm, parsed in one compiled pass that writes straight into the arrays of a sparse batch.

The pass stops at the first thing that is not plain, and says where and of what kind; `libsvm` words the fault. Every
read is bounded by the end of the text, every write by the size of its array.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t

import numpy as np

from recordio.numerals cimport Real, digits, find, is_digit, numeral, word

FAULTS = (None, "label", "entry", "index", "order", "count")

cdef enum Fault:
    NONE
    LABEL  # neither a label nor an entry
    ENTRY  # not index:value
    INDEX  # beyond the width
    ORDER  # a record without labels whose first index is not the lowest
    COUNT  # more entries than a record may have

cdef struct Text:
    const char *at
    const char *end

cdef struct Arrays:
    Py_ssize_t rows     # as many as fit
    Py_ssize_t entries  # likewise
    Py_ssize_t most     # entries of one record
    Py_ssize_t width
    Py_ssize_t labels   # of each record
    int32_t *indices
    int32_t *ends
    bint rising         # the indices of each record so far

cdef int64_t LARGEST_SCALE = 10**12  # numbers from there on are too large an index, whatever they are
cdef Py_ssize_t ROOM = 2**18  # entries of a block, or as many as a record may have


def largest_index(const unsigned char[::1] text not None):
    """The largest index before a colon, comments aside; -1 when there is none."""
    cdef int64_t largest = -1
    if text.shape[0]:
        with nogil:
            largest = _largest(Text(<const char *>&text[0], <const char *>&text[0] + text.shape[0]))
    return largest


def read(const unsigned char[::1] text not None, Py_ssize_t start, Py_ssize_t width, Py_ssize_t most, dtype):
    """The records of text[start:], up to one that is not plain, has another number of labels, or finds no room.

    width    columns
    most     entries that one record may have
    dtype    float32 or float64
    returns  labels (records, labels), values (entries,), indices (entries,), ends of the records (records + 1,),
             whether indices rise in each record, where the pass ended, and the kind of fault there or None
    """
    cdef Py_ssize_t size = text.shape[0] - start
    if not (0 <= start < text.shape[0] and 0 < width < 2**31 and most > 0):
        raise IndexError(f"got start {start} and width {width}, in {text.shape[0]} bytes")
    cdef const char *origin = <const char *>&text[0]
    cdef Text rest = Text(origin + start, origin + text.shape[0])
    cdef Arrays arrays
    cdef float[::1] single_values, single_labels
    cdef double[::1] double_values, double_labels
    cdef Fault fault = NONE
    cdef Py_ssize_t rows
    with nogil:
        arrays.labels = _label_count(rest)
        arrays.rows = _lines(rest)
    # A label takes two bytes at least and an entry four, so that no text can ask for more than it is worth.
    arrays.rows = min(arrays.rows, size // (2 * max(arrays.labels, 1)) + 1)
    arrays.entries, arrays.most = min(size // 4 + 1, max(most, ROOM)), most
    arrays.width, arrays.rising = width, True
    # One more, so that there is a first of each.
    labels = np.empty(arrays.rows * arrays.labels + 1, dtype)
    values = np.empty(arrays.entries + 1, dtype)
    indices = np.empty(arrays.entries + 1, np.int32)
    ends = np.zeros(arrays.rows + 1, np.int32)
    cdef int32_t[::1] index_view = indices, end_view = ends
    arrays.indices, arrays.ends = &index_view[0], &end_view[0]
    if values.itemsize == 4:
        single_values, single_labels = values, labels
        with nogil:
            rows = _fill(&rest, &arrays, &single_values[0], &single_labels[0], &fault)
    else:
        double_values, double_labels = values, labels
        with nogil:
            rows = _fill(&rest, &arrays, &double_values[0], &double_labels[0], &fault)
    count = int(ends[rows])
    return (
        labels[: rows * arrays.labels].reshape(rows, arrays.labels),
        values[:count],
        indices[:count],
        ends[: rows + 1],
        arrays.rising,
        rest.at - origin,
        FAULTS[<int>fault],
    )


cdef Py_ssize_t _lines(Text text) noexcept nogil:
    cdef const char *at = text.at
    cdef Py_ssize_t count = 1
    while (at := find(at, text.end, c'\n')) != text.end:
        at += 1
        count += 1
    return count


cdef int64_t _largest(Text text) noexcept nogil:
    cdef int64_t largest = -1, index, scale
    cdef const char *colon
    cdef const char *mark
    cdef const char *comment = find(text.at, text.end, c'#')
    while (colon := find(text.at, text.end, c':')) != text.end:
        if colon > comment:
            text.at = find(comment, text.end, c'\n')
            comment = find(text.at, text.end, c'#')
            continue
        mark, index, scale = colon, 0, 1
        while mark > text.at and is_digit((mark - 1)[0]) and scale < LARGEST_SCALE:
            mark -= 1
            index += scale * (mark[0] - c'0')
            scale *= 10
        if mark != colon:
            largest = max(largest, index)
        text.at = colon + 1
    return largest


cdef Py_ssize_t _fill(Text *text, Arrays *arrays, Real *values, Real *labels, Fault *fault) noexcept nogil:
    """Fill the arrays, and return the number of records. `text.at` is where the next one starts, or on the fault."""
    cdef const char *at
    cdef const char *after
    cdef const char *end = text.end
    cdef Py_ssize_t row = 0, count = 0, found
    cdef bint unsure
    while True:
        text.at = _record(text.at, end)
        if text.at == end or row == arrays.rows:
            return row
        at = _labels(text.at, end, labels + row * arrays.labels, arrays.labels, &found)
        if at == NULL:
            fault[0] = LABEL
            return row
        if found != arrays.labels:
            return row
        at = _spaces(at, end)
        after = _query(at, end)
        if after == NULL:
            text.at, fault[0] = at, ENTRY
            return row
        unsure = found == 0 and after == at
        at = after
        found = _entries(&at, end, arrays, values, count, unsure, fault)
        if fault[0] != NONE:
            if fault[0] != ORDER:
                text.at = at
            return row
        if found < 0:  # no room left
            return row
        count += found
        row += 1
        arrays.ends[row] = <int32_t>count
        text.at = at


cdef inline Py_ssize_t _entries(
    const char **place, const char *end, Arrays *arrays, Real *values, Py_ssize_t start, bint unsure, Fault *fault
) noexcept nogil:
    """Fill in the entries of a record from `start` on, and return how many; -1 when there is no room for all.

    unsure   the first entry may also be a label with its weight
    place    moves to the end of the record, or to the fault
    """
    cdef const char *at = place[0]
    cdef const char *after
    cdef uint64_t index
    cdef int64_t previous = -1, first = -1
    cdef Py_ssize_t count = start
    while True:
        place[0] = at = _spaces(at, end)
        if at == end or at[0] == c'\n' or at[0] == c'#':
            place[0] = find(at, end, c'\n')
            return count - start
        if count - start == arrays.most:
            fault[0] = COUNT
            return 0
        if count == arrays.entries:
            return -1
        index = 0
        after = digits(at, end, &index)
        if after == at or after == end or after[0] != c':':
            fault[0] = ENTRY
            return 0
        if after - at > 18 or index >= <uint64_t>arrays.width:
            fault[0] = INDEX
            return 0
        after = numeral(after + 1, end, values + count)
        if after == NULL or not _ends_token(after, end):
            fault[0] = ENTRY
            return 0
        if <int64_t>index <= previous:
            arrays.rising = False
            if <int64_t>index <= first:
                fault[0] = ORDER
                return 0
        elif unsure and count == start:
            first = index
        previous = index
        arrays.indices[count] = <int32_t>index
        count += 1
        at = after


cdef inline const char *_labels(
    const char *at, const char *end, Real *out, Py_ssize_t room, Py_ssize_t *count
) noexcept nogil:
    """Read 1 or 1,2,3 and return where it ends, or NULL; nothing is read where an entry or qid stands instead.

    count   how many there are, of which at most `room` are written
    """
    cdef const char *after
    cdef Real value = 0
    count[0] = 0
    if word(at, end, b"qid", 3) != NULL:
        return at
    after = numeral(at, end, &value)
    if after != NULL and after != end and after[0] == c':':
        return at
    while after != NULL:
        if count[0] < room:
            out[count[0]] = value
        count[0] += 1
        if _ends_token(after, end):
            return after
        after = numeral(after + 1, end, &value) if after[0] == c',' else NULL
    return NULL


cdef inline const char *_query(const char *at, const char *end) noexcept nogil:
    """Read qid:7, if it is there; NULL when only its start is."""
    cdef const char *mark = word(at, end, b"qid", 3)
    cdef const char *after
    cdef uint64_t number = 0
    if mark == NULL:
        return at
    if mark == end or mark[0] != c':':
        return NULL
    after = digits(mark + 1, end, &number)
    return after if after != mark + 1 and _ends_token(after, end) else NULL


cdef Py_ssize_t _label_count(Text text) noexcept nogil:
    cdef Py_ssize_t count
    cdef double nothing
    text.at = _record(text.at, text.end)
    return count if _labels(text.at, text.end, &nothing, 0, &count) != NULL else 0


cdef inline const char *_record(const char *at, const char *end) noexcept nogil:
    """Where the next record starts: after blank lines and lines of comment."""
    while True:
        at = _spaces(at, end)
        if at != end and at[0] == c'#':
            at = find(at, end, c'\n')
        if at == end or at[0] != c'\n':
            return at
        at += 1


cdef inline const char *_spaces(const char *at, const char *end) noexcept nogil:
    while at < end and (at[0] == c' ' or at[0] == c'\t' or at[0] == c'\r'):
        at += 1
    return at


cdef inline bint _ends_token(const char *at, const char *end) noexcept nogil:
    return at == end or at[0] == c' ' or at[0] == c'\n' or at[0] == c'\t' or at[0] == c'\r' or at[0] == c'#'

