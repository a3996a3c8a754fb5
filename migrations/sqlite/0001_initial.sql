-- Everything AutoFarm keeps, on SQLite. postgres/0001_initial.sql is its twin: a column is added to both.
--
-- Unsigned 64-bit numbers (seeds, digests, ids of tokens) are INTEGER with the same bits, so large ones read as negative.
-- Ids of simulations are text with hyphens, which sorts as they do. Times are UNIX time in us, but for a
-- lease's, which is the clock of the file's host in the same unit.

-- A deleted simulation loses its id at once, and by that everything that could be read of it; its rows
-- follow in the background. History does not refer to this table by a foreign key: a check a row would
-- cost more than the insert, and its writer and its remover exclude each other by their fence.
CREATE TABLE simulations (
    simulation_key    INTEGER PRIMARY KEY AUTOINCREMENT,
    id                TEXT UNIQUE,
    -- What was asked for.
    asked_name        TEXT   NOT NULL,
    asked_speed_milli INTEGER,            -- null: as fast as it goes
    scenario          TEXT   NOT NULL,
    entities          INTEGER NOT NULL,
    tick_ms           INTEGER NOT NULL,
    seed              INTEGER NOT NULL,
    partition_rows    INTEGER NOT NULL,
    max_ticks         INTEGER,
    digest_every      INTEGER NOT NULL,
    late_policy       TEXT   NOT NULL,
    parent            TEXT,
    parent_tick       INTEGER,
    kernel_version    INTEGER NOT NULL,   -- of the build that created it
    -- Where it stands, as far as a request changes it.
    status            TEXT   NOT NULL,
    cause             TEXT   NOT NULL,
    name              TEXT   NOT NULL,
    speed_milli       INTEGER,
    step_until        INTEGER,
    created_at_us     INTEGER NOT NULL,
    started_at_us     INTEGER,
    ended_at_us       INTEGER
) STRICT;

-- How far its history is written. A row of its own, so that history and requests do not wait for each other.
CREATE TABLE heads (
    simulation_key    INTEGER PRIMARY KEY REFERENCES simulations,
    tick              INTEGER NOT NULL,
    digest_tick       INTEGER,
    digest            INTEGER,
    aggregate         TEXT   NOT NULL,
    late_ticks        INTEGER NOT NULL,
    dilated_ms        INTEGER NOT NULL,
    last_sim_seq      INTEGER NOT NULL,
    last_system_seq   INTEGER NOT NULL,
    entities_written  INTEGER NOT NULL
) STRICT;

-- Where each later owner of the database took a simulation up: what an older one said at or after these numbers and
-- had not written is void.
CREATE TABLE epochs (
    simulation_key    INTEGER NOT NULL,
    epoch             INTEGER NOT NULL,
    from_tick         INTEGER NOT NULL,
    from_event        INTEGER NOT NULL,
    from_system_event INTEGER NOT NULL,
    PRIMARY KEY (simulation_key, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE entities (
    simulation_key INTEGER NOT NULL,
    entity         INTEGER NOT NULL,
    class          TEXT   NOT NULL,
    site           INTEGER NOT NULL,
    home_x_m       REAL NOT NULL,
    home_y_m       REAL NOT NULL,
    PRIMARY KEY (simulation_key, entity)
) STRICT, WITHOUT ROWID;
CREATE INDEX entities_by_site ON entities (simulation_key, site, entity);

CREATE TABLE commands (
    simulation_key INTEGER NOT NULL REFERENCES simulations,
    seq            INTEGER NOT NULL,
    tick           INTEGER NOT NULL,
    asked_tick     INTEGER,
    target         TEXT   NOT NULL,      -- as the API has it: {"entity":1}, {"entities":[1,2]}, {"site":0}, "all"
    command        TEXT   NOT NULL,
    args           TEXT   NOT NULL,
    token          INTEGER NOT NULL,
    at_us          INTEGER NOT NULL,
    PRIMARY KEY (simulation_key, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX commands_by_tick ON commands (simulation_key, tick, seq);

CREATE TABLE events (
    simulation_key INTEGER NOT NULL,
    log            INTEGER NOT NULL,      -- 0: sim, 1: system
    seq            INTEGER NOT NULL,
    tick           INTEGER NOT NULL,
    kind           INTEGER NOT NULL,
    site           INTEGER NOT NULL,
    detail         INTEGER NOT NULL,
    reason         INTEGER NOT NULL,
    entities       BLOB   NOT NULL,      -- ids, 4 bytes each, little-endian
    text           TEXT   NOT NULL,      -- a JSON object, or nothing
    PRIMARY KEY (simulation_key, log, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX events_by_tick ON events (simulation_key, tick, log, seq);
-- All but transitions (kind 1), which are nearly all there are.
CREATE INDEX events_rare ON events (simulation_key, tick, log, seq) WHERE kind <> 1;

CREATE TABLE metric_snapshots (
    simulation_key       INTEGER NOT NULL,
    tick                 INTEGER NOT NULL,
    at_us                INTEGER NOT NULL,
    aggregate            TEXT   NOT NULL,
    late_ticks           INTEGER NOT NULL,
    achieved_speed_milli INTEGER NOT NULL,
    stages               BLOB   NOT NULL, -- per stage: length and name, length and HDR histogram (V2); lengths of 4 bytes, little-endian
    PRIMARY KEY (simulation_key, tick)
) STRICT;

CREATE TABLE tick_digests (
    simulation_key INTEGER NOT NULL,
    tick           INTEGER NOT NULL,
    digest         INTEGER NOT NULL,
    PRIMARY KEY (simulation_key, tick)
) STRICT, WITHOUT ROWID;

-- A cut counts only with its row here and as many checkpoints as the row says.
CREATE TABLE cuts (
    simulation_key INTEGER NOT NULL,
    tick           INTEGER NOT NULL,
    kernel_version INTEGER NOT NULL,
    schema_hash    INTEGER NOT NULL,
    last_sim_seq   INTEGER NOT NULL,
    partitions     INTEGER NOT NULL,
    mail           BLOB   NOT NULL,
    PRIMARY KEY (simulation_key, tick)
) STRICT;

CREATE TABLE checkpoints (
    simulation_key INTEGER NOT NULL,
    tick           INTEGER NOT NULL,
    partition      INTEGER NOT NULL,
    payload        BLOB   NOT NULL,
    PRIMARY KEY (simulation_key, tick, partition)
) STRICT;

CREATE TABLE tokens (
    id            INTEGER PRIMARY KEY,
    name          TEXT   NOT NULL,
    access        TEXT   NOT NULL,
    secret_hash   BLOB   NOT NULL UNIQUE,
    created_at_us INTEGER NOT NULL
) STRICT;

CREATE TABLE idempotency_keys (
    token         INTEGER NOT NULL,
    route         TEXT   NOT NULL,
    key           TEXT   NOT NULL,
    body_hash     BLOB   NOT NULL,
    answer        BLOB   NOT NULL,
    at_us         INTEGER NOT NULL,
    simulation    TEXT,                  -- of a command: its place, so that a new stamp is no repetition
    command_seq   INTEGER,
    PRIMARY KEY (token, route, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (at_us);
CREATE INDEX idempotency_keys_by_command ON idempotency_keys (simulation, command_seq);

-- Who owns this database.
CREATE TABLE leases (
    name          TEXT   PRIMARY KEY,
    epoch         INTEGER NOT NULL,
    address       TEXT   NOT NULL,
    expires_at_us INTEGER NOT NULL
) STRICT;
INSERT INTO leases VALUES ('orchestrator', 0, '', 0);

-- What every writing transaction locks first, one row a kind of transaction, so that no transaction commits under
-- an epoch that has passed. It also says what was written last, so that a repetition is known as one.
CREATE TABLE fences (
    name     TEXT   PRIMARY KEY,
    epoch    INTEGER NOT NULL,
    last_id  INTEGER,
    outcomes BLOB
) STRICT;
INSERT INTO fences VALUES ('commit', 0, NULL, NULL), ('append', 0, NULL, NULL), ('prune', 0, NULL, NULL);
