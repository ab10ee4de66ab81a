// What causes what: edges between nodes that may be parallel, told apart by their keys; and variables, named quantities
// and events that have no other node.

CREATE NODE TABLE Variable (
    key STRING,
    id STRING,
    agent STRING,
    at TIMESTAMP,
    name STRING,
    description STRING,
    is_reward BOOL,
    ref_table STRING,
    ref_key STRING,
    tags STRING[],
    metadata STRING,
    PRIMARY KEY (key)
);

CREATE REL TABLE CAUSES (
    FROM Episode TO Episode, FROM Episode TO Skill, FROM Episode TO Entity, FROM Episode TO Variable,
    FROM Skill TO Episode, FROM Skill TO Skill, FROM Skill TO Entity, FROM Skill TO Variable,
    FROM Entity TO Episode, FROM Entity TO Skill, FROM Entity TO Entity, FROM Entity TO Variable,
    FROM Variable TO Episode, FROM Variable TO Skill, FROM Variable TO Entity, FROM Variable TO Variable,
    key STRING,
    id STRING,
    agent STRING,
    at TIMESTAMP,
    uplift DOUBLE,
    confidence DOUBLE,
    low DOUBLE,
    high DOUBLE,
    n INT64,
    method STRING,
    mechanism STRING,
    evidence STRING[],
    valid_from TIMESTAMP,
    valid_to TIMESTAMP,
    endings STRING,
    metadata STRING
);
