// What is true of whom, since when, until when; and since when, until when it was known. Facts may cause, and be caused.

CREATE NODE TABLE Fact (
    key STRING,
    id STRING,
    agent STRING,
    at TIMESTAMP,
    subject STRING,
    predicate STRING,
    object STRING,
    valid_from TIMESTAMP,
    valid_to TIMESTAMP,
    until TIMESTAMP,
    closed_by STRING,
    superseded BOOL,
    known_to TIMESTAMP,
    corrects STRING,
    source STRING,
    confidence DOUBLE,
    tags STRING[],
    metadata STRING,
    PRIMARY KEY (key)
);

ALTER TABLE ABOUT ADD FROM Fact TO Entity;
ALTER TABLE EVIDENCE ADD FROM Fact TO Episode;
ALTER TABLE CAUSES ADD FROM Episode TO Fact;
ALTER TABLE CAUSES ADD FROM Skill TO Fact;
ALTER TABLE CAUSES ADD FROM Entity TO Fact;
ALTER TABLE CAUSES ADD FROM Variable TO Fact;
ALTER TABLE CAUSES ADD FROM Fact TO Episode;
ALTER TABLE CAUSES ADD FROM Fact TO Skill;
ALTER TABLE CAUSES ADD FROM Fact TO Entity;
ALTER TABLE CAUSES ADD FROM Fact TO Variable;
ALTER TABLE CAUSES ADD FROM Fact TO Fact;
