-- What the doctor keeps: single values by name (the installation's own id, the last report, a heartbeat that proves that
-- rows can be written).
CREATE TABLE notebook (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    at BIGINT NOT NULL
);

-- The last time that a message is known to have passed, in each direction, for each number.
CREATE TABLE proofs (
    phone_id UUID PRIMARY KEY,
    last_inbound_at BIGINT NOT NULL,
    last_outbound_at BIGINT NOT NULL
);
