-- Everything AutoFarm keeps, on PostgreSQL. sqlite/0001_initial.sql is its twin: a column is added to both.
--
-- Unsigned 64-bit numbers (seeds, digests, ids of tokens) are BIGINT with the same bits, so large ones read as negative.
-- Times are UNIX time in us, but for a lease's, which is the database's own clock in the same unit.

-- A deleted simulation loses its id at once, and by that everything that could be read of it; its rows
-- follow in the background. History does not refer to this table by a foreign key: a check a row would
-- cost more than the insert, and its writer and its remover exclude each other by their fence.
CREATE TABLE simulations (
    simulation_key    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                UUID UNIQUE,
    -- What was asked for.
    asked_name        TEXT   NOT NULL,
    asked_speed_milli BIGINT,            -- null: as fast as it goes
    scenario          TEXT   NOT NULL,
    entities          BIGINT NOT NULL,
    tick_ms           BIGINT NOT NULL,
    seed              BIGINT NOT NULL,
    partition_rows    BIGINT NOT NULL,
    max_ticks         BIGINT,
    digest_every      BIGINT NOT NULL,
    late_policy       TEXT   NOT NULL,
    parent            UUID,
    parent_tick       BIGINT,
    kernel_version    BIGINT NOT NULL,   -- of the build that created it
    -- Where it stands, as far as a request changes it.
    status            TEXT   NOT NULL,
    cause             TEXT   NOT NULL,
    name              TEXT   NOT NULL,
    speed_milli       BIGINT,
    step_until        BIGINT,
    created_at_us     BIGINT NOT NULL,
    started_at_us     BIGINT,
    ended_at_us       BIGINT
);

-- How far its history is written. A row of its own, so that history and requests do not wait for each other.
CREATE TABLE heads (
    simulation_key    BIGINT PRIMARY KEY REFERENCES simulations,
    tick              BIGINT NOT NULL,
    digest_tick       BIGINT,
    digest            BIGINT,
    aggregate         JSONB  NOT NULL,
    late_ticks        BIGINT NOT NULL,
    dilated_ms        BIGINT NOT NULL,
    last_sim_seq      BIGINT NOT NULL,
    last_system_seq   BIGINT NOT NULL,
    entities_written  BIGINT NOT NULL
);

-- Where each later owner of the database took a simulation up: what an older one said at or after these numbers and
-- had not written is void.
CREATE TABLE epochs (
    simulation_key    BIGINT NOT NULL,
    epoch             BIGINT NOT NULL,
    from_tick         BIGINT NOT NULL,
    from_event        BIGINT NOT NULL,
    from_system_event BIGINT NOT NULL,
    PRIMARY KEY (simulation_key, epoch)
);

CREATE TABLE entities (
    simulation_key BIGINT NOT NULL,
    entity         BIGINT NOT NULL,
    class          TEXT   NOT NULL,
    site           BIGINT NOT NULL,
    home_x_m       DOUBLE PRECISION NOT NULL,
    home_y_m       DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (simulation_key, entity)
);
CREATE INDEX entities_by_site ON entities (simulation_key, site, entity);

CREATE TABLE commands (
    simulation_key BIGINT NOT NULL REFERENCES simulations,
    seq            BIGINT NOT NULL,
    tick           BIGINT NOT NULL,
    asked_tick     BIGINT,
    target         JSONB  NOT NULL,      -- as the API has it: {"entity":1}, {"entities":[1,2]}, {"site":0}, "all"
    command        TEXT   NOT NULL,
    args           JSONB  NOT NULL,
    token          BIGINT NOT NULL,
    at_us          BIGINT NOT NULL,
    PRIMARY KEY (simulation_key, seq)
);
CREATE INDEX commands_by_tick ON commands (simulation_key, tick, seq);

CREATE TABLE events (
    simulation_key BIGINT NOT NULL,
    log            BIGINT NOT NULL,      -- 0: sim, 1: system
    seq            BIGINT NOT NULL,
    tick           BIGINT NOT NULL,
    kind           BIGINT NOT NULL,
    site           BIGINT NOT NULL,
    detail         BIGINT NOT NULL,
    reason         BIGINT NOT NULL,
    entities       BYTEA  NOT NULL,      -- ids, 4 bytes each, little-endian
    text           TEXT   NOT NULL,      -- a JSON object, or nothing
    PRIMARY KEY (simulation_key, log, seq)
);
CREATE INDEX events_by_tick ON events (simulation_key, tick, log, seq);
-- All but transitions (kind 1), which are nearly all there are.
CREATE INDEX events_rare ON events (simulation_key, tick, log, seq) WHERE kind <> 1;

CREATE TABLE metric_snapshots (
    simulation_key       BIGINT NOT NULL,
    tick                 BIGINT NOT NULL,
    at_us                BIGINT NOT NULL,
    aggregate            JSONB  NOT NULL,
    late_ticks           BIGINT NOT NULL,
    achieved_speed_milli BIGINT NOT NULL,
    stages               BYTEA  NOT NULL, -- per stage: length and name, length and HDR histogram (V2); lengths of 4 bytes, little-endian
    PRIMARY KEY (simulation_key, tick)
);

CREATE TABLE tick_digests (
    simulation_key BIGINT NOT NULL,
    tick           BIGINT NOT NULL,
    digest         BIGINT NOT NULL,
    PRIMARY KEY (simulation_key, tick)
);

-- A cut counts only with its row here and as many checkpoints as the row says.
CREATE TABLE cuts (
    simulation_key BIGINT NOT NULL,
    tick           BIGINT NOT NULL,
    kernel_version BIGINT NOT NULL,
    schema_hash    BIGINT NOT NULL,
    last_sim_seq   BIGINT NOT NULL,
    partitions     BIGINT NOT NULL,
    mail           BYTEA  NOT NULL,
    PRIMARY KEY (simulation_key, tick)
);

CREATE TABLE checkpoints (
    simulation_key BIGINT NOT NULL,
    tick           BIGINT NOT NULL,
    partition      BIGINT NOT NULL,
    payload        BYTEA  NOT NULL,
    PRIMARY KEY (simulation_key, tick, partition)
);
-- Compressing them costs more time than it saves room.
ALTER TABLE checkpoints ALTER COLUMN payload SET STORAGE EXTERNAL;

CREATE TABLE tokens (
    id            BIGINT PRIMARY KEY,
    name          TEXT   NOT NULL,
    access        TEXT   NOT NULL,
    secret_hash   BYTEA  NOT NULL UNIQUE,
    created_at_us BIGINT NOT NULL
);

CREATE TABLE idempotency_keys (
    token         BIGINT NOT NULL,
    route         TEXT   NOT NULL,
    key           TEXT   NOT NULL,
    body_hash     BYTEA  NOT NULL,
    answer        BYTEA  NOT NULL,
    at_us         BIGINT NOT NULL,
    simulation    UUID,                  -- of a command: its place, so that a new stamp is no repetition
    command_seq   BIGINT,
    PRIMARY KEY (token, route, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (at_us);
CREATE INDEX idempotency_keys_by_command ON idempotency_keys (simulation, command_seq);

-- Who owns this database.
CREATE TABLE leases (
    name          TEXT   PRIMARY KEY,
    epoch         BIGINT NOT NULL,
    address       TEXT   NOT NULL,
    expires_at_us BIGINT NOT NULL
);
INSERT INTO leases VALUES ('orchestrator', 0, '', 0);

-- What every writing transaction locks first, one row a kind of transaction, so that no transaction commits under
-- an epoch that has passed. It also says what was written last, so that a repetition is known as one.
CREATE TABLE fences (
    name     TEXT   PRIMARY KEY,
    epoch    BIGINT NOT NULL,
    last_id  BIGINT,
    outcomes BYTEA
);
INSERT INTO fences VALUES ('commit', 0, NULL, NULL), ('append', 0, NULL, NULL), ('prune', 0, NULL, NULL);
