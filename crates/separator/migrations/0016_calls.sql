-- Calls that customers and companies made, and what Bitrix24 knows of them; whom a company may call.

CREATE TABLE calls (
    id UUID PRIMARY KEY,
    phone_id UUID NOT NULL REFERENCES phones (id) ON DELETE CASCADE,
    conversation_id UUID NOT NULL,
    -- Meta's id of the call. Everything that is told about it meets here, whatever its order.
    wacid TEXT NOT NULL,
    direction TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    -- NULL: nobody took it, or it is not known yet.
    answered_at BIGINT,
    -- NULL: it goes on, or its end was not told.
    ended_at BIGINT,
    duration BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    declined BOOLEAN NOT NULL,
    error TEXT,
    -- What Bitrix24 has of it.
    told TEXT NOT NULL,
    responsible BIGINT,
    entity_type TEXT,
    entity_id BIGINT,
    crm_call_id TEXT,
    shown BOOLEAN NOT NULL,
    activity_id BIGINT,
    problem TEXT,
    journey TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX calls_wacid ON calls (phone_id, wacid);
CREATE INDEX calls_conversation ON calls (conversation_id);

CREATE TABLE call_permissions (
    conversation_id UUID PRIMARY KEY REFERENCES conversations (id) ON DELETE CASCADE,
    -- granted, permanent or refused.
    state TEXT NOT NULL,
    until BIGINT,
    told_at BIGINT NOT NULL
);
