// What episodes are about, and what shows how an episode went.

CREATE NODE TABLE Entity (
    key STRING,
    id STRING,
    agent STRING,
    at TIMESTAMP,
    kind STRING,
    name STRING,
    description STRING,
    tags STRING[],
    metadata STRING,
    PRIMARY KEY (key)
);

CREATE REL TABLE ABOUT (FROM Episode TO Entity);
CREATE REL TABLE EVIDENCE (FROM Episode TO Episode);
