-- Connecting Meta: what is known of tokens, accounts and numbers, connections under way, and the catalogue of templates.

-- The access token of a Meta app or of an account, as Meta described it last.
CREATE TABLE token_health (
    holder_id UUID PRIMARY KEY,
    kind TEXT,
    state TEXT NOT NULL,
    scopes TEXT NOT NULL,
    expires_at BIGINT,
    trouble TEXT,
    checked_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL
);

CREATE TABLE account_facts (
    account_id UUID PRIMARY KEY REFERENCES waba_accounts (id) ON DELETE CASCADE,
    review TEXT,
    notice TEXT,
    notice_at BIGINT,
    synced_at BIGINT,
    trouble TEXT,
    due_at BIGINT NOT NULL
);

CREATE TABLE number_facts (
    phone_id UUID PRIMARY KEY REFERENCES phones (id) ON DELETE CASCADE,
    verified_name TEXT,
    status TEXT,
    quality TEXT,
    messaging_limit TEXT,
    throughput TEXT,
    name_status TEXT,
    on_phone_app BOOLEAN NOT NULL,
    notice TEXT,
    notice_at BIGINT,
    updated_at BIGINT NOT NULL
);

-- The two-step verification PIN with which a number was registered. Kept when the number is removed here: whoever enters
-- it again needs it.
CREATE TABLE phone_pins (
    id UUID PRIMARY KEY,
    phone_number_id TEXT NOT NULL UNIQUE,
    pin BYTEA NOT NULL,
    set_at BIGINT NOT NULL
);

-- A login at Facebook that was begun. Neither the state nor the browser's cookie is kept, only their hashes.
CREATE TABLE meta_logins (
    state_hash TEXT PRIMARY KEY,
    browser_hash TEXT NOT NULL,
    app_id UUID NOT NULL REFERENCES waba_apps (id) ON DELETE CASCADE,
    user_id UUID NOT NULL,
    session_id UUID,
    redirect_uri TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);

CREATE TABLE meta_connections (
    id UUID PRIMARY KEY,
    app_id UUID NOT NULL REFERENCES waba_apps (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    access_token BYTEA,
    plan TEXT NOT NULL,
    steps TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX meta_connections_due ON meta_connections (due_at) WHERE state = 'running';

CREATE TABLE waba_templates (
    id UUID PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES waba_accounts (id) ON DELETE CASCADE,
    template_id TEXT NOT NULL,
    name TEXT NOT NULL,
    language TEXT NOT NULL,
    status TEXT NOT NULL,
    category TEXT NOT NULL,
    announced_category TEXT,
    parameter_format TEXT NOT NULL,
    components TEXT NOT NULL,
    quality TEXT NOT NULL,
    reason TEXT,
    -- When what a callback told was so; an older callback that comes later changes nothing.
    told_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (account_id, template_id)
);
CREATE INDEX waba_templates_by_name ON waba_templates (account_id, name, language);

-- A kept callback for an account that nobody has entered yet waits for it.
ALTER TABLE events ADD COLUMN waba_id TEXT;
