// What is declared of the user's own tables and the engine doesn't keep: which columns are searched, and whether
// rows hold for a time.

CREATE NODE TABLE _Table (
    _name STRING,
    _searchable STRING[],
    _temporal BOOL,
    PRIMARY KEY (_name)
);
