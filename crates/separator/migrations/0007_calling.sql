-- Calls: what was chosen for a number, what Meta has of it, and what was found out about its telephone server.

CREATE TABLE calling (
    phone_id UUID PRIMARY KEY REFERENCES phones (id) ON DELETE CASCADE,
    -- What was chosen. Grows by one with every choice, so that nothing that was begun for an older one is kept.
    version BIGINT NOT NULL,
    wish TEXT NOT NULL,
    state TEXT NOT NULL,
    -- What is to be done at Meta, how often it was tried, and when it is due; NULL: nothing.
    task TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    due_at BIGINT,
    -- What Meta said last.
    applied TEXT,
    applied_at BIGINT,
    password BYTEA,
    warnings TEXT NOT NULL,
    error TEXT,
    -- What was changed at Meta by others.
    outside TEXT,
    report TEXT,
    check_at BIGINT
);
CREATE INDEX calling_due ON calling (due_at) WHERE due_at IS NOT NULL;
