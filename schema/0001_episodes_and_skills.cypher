// The memory's own tables of episodes and skills, and how far the graph has come.
// Names that a user doesn't see begin with an underscore.

CREATE NODE TABLE Episode (
    key STRING,
    id STRING,
    agent STRING,
    at TIMESTAMP,
    session STRING,
    task STRING,
    input STRING,
    output STRING,
    critique STRING,
    reward DOUBLE,
    success BOOL,
    latency_ms DOUBLE,
    tokens INT64,
    tags STRING[],
    metadata STRING,
    PRIMARY KEY (key)
);

CREATE NODE TABLE Skill (
    key STRING,
    id STRING,
    agent STRING,
    at TIMESTAMP,
    name STRING,
    description STRING,
    code STRING,
    signature STRING,
    tags STRING[],
    metadata STRING,
    version INT64,
    uses INT64,
    successes INT64,
    rewards INT64,
    reward DOUBLE,
    latencies INT64,
    latency_ms DOUBLE,
    last_used TIMESTAMP,
    PRIMARY KEY (key)
);

CREATE NODE TABLE SkillVersion (
    key STRING,
    id STRING,
    agent STRING,
    at TIMESTAMP,
    skill STRING,
    version INT64,
    name STRING,
    description STRING,
    code STRING,
    signature STRING,
    PRIMARY KEY (key)
);

CREATE NODE TABLE Session (
    key STRING,
    id STRING,
    agent STRING,
    PRIMARY KEY (key)
);

CREATE NODE TABLE Task (
    key STRING,
    id STRING,
    agent STRING,
    text STRING,
    PRIMARY KEY (key)
);

CREATE NODE TABLE Agent (
    key STRING,
    id STRING,
    PRIMARY KEY (key)
);

CREATE REL TABLE IN_SESSION (FROM Episode TO Session);
CREATE REL TABLE ATTEMPTS (FROM Episode TO Task);
CREATE REL TABLE NEXT (FROM Episode TO Episode);
CREATE REL TABLE USED (FROM Episode TO Skill, uses INT64, success BOOL, reward DOUBLE);
CREATE REL TABLE DERIVED_FROM (FROM Skill TO Episode);
CREATE REL TABLE VERSION_OF (FROM SkillVersion TO Skill);
CREATE REL TABLE CALLS (FROM Skill TO Skill);
CREATE REL TABLE PREREQUISITE (FROM Skill TO Skill, weight DOUBLE);
CREATE REL TABLE ALTERNATIVE (FROM Skill TO Skill, weight DOUBLE);
CREATE REL TABLE REFINES (FROM Skill TO Skill, weight DOUBLE);
CREATE REL TABLE PART_OF (FROM Skill TO Skill, weight DOUBLE);

CREATE NODE TABLE _Applied (
    _row INT64,
    _n INT64,
    _migration INT64,
    PRIMARY KEY (_row)
);
