"""Lines of libsvm, parsed in one compiled pass that writes straight into the arrays of a sparse batch.

The pass stops at the first thing that is not plain, and says where and of what kind; `libsvm` words the fault. Every
read is bounded by the end of the text, every write by the size of its array.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t

import numpy as np

from recordio.numerals cimport Real, digits, find, is_digit, numeral, word

FAULTS = (None, "label", "entry", "index", "order", "count", "query")

cdef enum Fault:
    NONE
    LABEL  # neither a label nor an entry
    ENTRY  # not index:value
    INDEX  # beyond the width
    ORDER  # a record without labels whose first index is not the lowest
    COUNT  # more entries than a record may have
    QUERY  # not qid:7

cdef struct Text:
    const char *at
    const char *end

cdef struct Kind:  # what stands before the entries of a record
    Py_ssize_t labels
    bint weight
    bint group

cdef struct Arrays:
    Py_ssize_t rows     # as many as fit
    Py_ssize_t entries  # likewise
    Py_ssize_t most     # entries of one record
    Py_ssize_t width
    Kind kind           # of each record
    bint labelled       # each record begins with labels
    int32_t *indices
    int32_t *ends
    int64_t *groups
    bint rising         # the indices of each record so far

cdef int64_t LARGEST_SCALE = 10**12  # numbers from there on are too large an index, whatever they are
cdef Py_ssize_t ROOM = 2**18  # entries of a block, or as many as a record may have


def largest_index(const unsigned char[::1] text not None, bint labelled):
    """The largest index before a colon, comments aside and, where lines begin with labels, those; -1 when none."""
    cdef int64_t largest = -1
    if text.shape[0]:
        with nogil:
            largest = _largest(Text(<const char *>&text[0], <const char *>&text[0] + text.shape[0]), labelled)
    return largest


def read(
    const unsigned char[::1] text not None, Py_ssize_t start, Py_ssize_t width, Py_ssize_t most, dtype, bint labelled
):
    """The records of text[start:], up to one that is not plain, has other labels, weight or group, or finds no room.

    width     columns
    most      entries that one record may have
    dtype     float32 or float64
    labelled  each record begins with its labels, which may have a weight
    returns   labels (records, labels), weights (records,) or None, groups (records,) or None, values (entries,),
              indices (entries,), ends of the records (records + 1,), whether indices rise in each record, where the
              pass ended, and the kind of fault there or None
    """
    cdef Py_ssize_t size = text.shape[0] - start
    if not (0 <= start < text.shape[0] and 0 < width < 2**31 and most > 0):
        raise IndexError(f"got start {start} and width {width}, in {text.shape[0]} bytes")
    cdef const char *origin = <const char *>&text[0]
    cdef Text rest = Text(origin + start, origin + text.shape[0])
    cdef Arrays arrays
    cdef float[::1] single_values, single_labels, single_weights
    cdef double[::1] double_values, double_labels, double_weights
    cdef Fault fault = NONE
    cdef Py_ssize_t rows
    with nogil:
        arrays.labelled = labelled
        arrays.kind = _kind(rest, labelled)
        arrays.rows = _lines(rest)
    # A label takes two bytes at least and an entry four, so that no text can ask for more than it is worth.
    arrays.rows = min(arrays.rows, size // (2 * max(arrays.kind.labels, 1)) + 1)
    arrays.entries, arrays.most = min(size // 4 + 1, max(most, ROOM)), most
    arrays.width, arrays.rising = width, True
    # One more, so that there is a first of each.
    labels = np.empty(arrays.rows * arrays.kind.labels + 1, dtype)
    weights = np.empty(arrays.rows * arrays.kind.weight + 1, dtype)
    groups = np.empty(arrays.rows * arrays.kind.group + 1, np.int64)
    values = np.empty(arrays.entries + 1, dtype)
    indices = np.empty(arrays.entries + 1, np.int32)
    ends = np.zeros(arrays.rows + 1, np.int32)
    cdef int32_t[::1] index_view = indices, end_view = ends
    cdef int64_t[::1] group_view = groups
    arrays.indices, arrays.ends, arrays.groups = &index_view[0], &end_view[0], &group_view[0]
    if values.itemsize == 4:
        single_values, single_labels, single_weights = values, labels, weights
        with nogil:
            rows = _fill(&rest, &arrays, &single_values[0], &single_labels[0], &single_weights[0], &fault)
    else:
        double_values, double_labels, double_weights = values, labels, weights
        with nogil:
            rows = _fill(&rest, &arrays, &double_values[0], &double_labels[0], &double_weights[0], &fault)
    count = int(ends[rows])
    return (
        labels[: rows * arrays.kind.labels].reshape(rows, arrays.kind.labels),
        weights[:rows] if arrays.kind.weight else None,
        groups[:rows] if arrays.kind.group else None,
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


cdef int64_t _largest(Text text, bint labelled) noexcept nogil:
    cdef int64_t largest = -1
    cdef const char *at
    cdef const char *line
    if not labelled:
        return _largest_entry(text)
    while text.at < text.end:
        line = find(text.at, text.end, c'\n')
        at = _spaces(text.at, line)
        while not _ends_token(at, line):
            at += 1
        largest = max(largest, _largest_entry(Text(at, line)))
        text.at = line + (line != text.end)
    return largest


cdef int64_t _largest_entry(Text text) noexcept nogil:
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


cdef Py_ssize_t _fill(
    Text *text, Arrays *arrays, Real *values, Real *labels, Real *weights, Fault *fault
) noexcept nogil:
    """Fill the arrays, and return the number of records. `text.at` is where the next one starts, or on the fault."""
    cdef const char *at
    cdef const char *after
    cdef const char *end = text.end
    cdef Py_ssize_t row = 0, count = 0, found
    cdef Kind kind
    while True:
        text.at = _record(text.at, end)
        if text.at == end or row == arrays.rows:
            return row
        at = _labels(
            text.at, end, arrays.labelled, labels + row * arrays.kind.labels, arrays.kind.labels,
            weights + row * arrays.kind.weight, &kind
        )
        if at == NULL:
            fault[0] = LABEL
            return row
        at = _spaces(at, end)
        after = _query(at, end, arrays.groups + row * arrays.kind.group)
        if after == NULL:
            text.at, fault[0] = at, QUERY
            return row
        kind.group = after != at
        if kind.labels != arrays.kind.labels or kind.weight != arrays.kind.weight or kind.group != arrays.kind.group:
            return row
        at = after
        found = _entries(&at, end, arrays, values, count, kind.labels == 0 and not kind.group, fault)
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
    const char *at, const char *end, bint labelled, Real *out, Py_ssize_t room, Real *weight, Kind *kind
) noexcept nogil:
    """Read 1 or 1,2,3 and return where it ends, or NULL. A weight may follow, as in 1:0.5, where records are
    `labelled`; elsewhere nothing is read where an entry or qid stands instead.

    kind   what there is, of which at most `room` labels are written, and a weight
    """
    cdef const char *after
    cdef Real value = 0
    kind.labels, kind.weight, kind.group = 0, False, False
    if not labelled and word(at, end, b"qid", 3) != NULL:
        return at
    after = numeral(at, end, &value)
    if not labelled and after != NULL and after != end and after[0] == c':':
        return at
    while after != NULL:
        if kind.labels < room:
            out[kind.labels] = value
        kind.labels += 1
        if _ends_token(after, end):
            return after
        if after[0] == c':':
            after = numeral(after + 1, end, weight) if labelled else NULL
            kind.weight = True
            return after if after != NULL and _ends_token(after, end) else NULL
        after = numeral(after + 1, end, &value) if after[0] == c',' else NULL
    return NULL


cdef inline const char *_query(const char *at, const char *end, int64_t *group) noexcept nogil:
    """Read qid:7, if it is there; NULL when only its start is, or a number of more than 18 digits."""
    cdef const char *mark = word(at, end, b"qid", 3)
    cdef const char *after
    cdef uint64_t number = 0
    if mark == NULL:
        return at
    if mark == end or mark[0] != c':':
        return NULL
    after = digits(mark + 1, end, &number)
    if not 0 < after - mark - 1 <= 18 or not _ends_token(after, end):
        return NULL
    group[0] = <int64_t>number
    return after


cdef Kind _kind(Text text, bint labelled) noexcept nogil:
    """What the first record has."""
    cdef Kind kind
    cdef double nothing
    cdef int64_t none
    cdef const char *at
    cdef const char *after
    text.at = _record(text.at, text.end)
    at = _labels(text.at, text.end, labelled, &nothing, 0, &nothing, &kind)
    if at == NULL:  # a fault, whatever room there is
        kind.labels, kind.weight, kind.group = 0, False, False
        return kind
    at = _spaces(at, text.end)
    after = _query(at, text.end, &none)
    kind.group = after != NULL and after != at
    return kind


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

