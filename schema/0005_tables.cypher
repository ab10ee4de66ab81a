// What is declared of the user's own tables and the engine doesn't keep: which columns are searched.

CREATE NODE TABLE _Table (
    _name STRING,
    _searchable STRING[],
    PRIMARY KEY (_name)
);
